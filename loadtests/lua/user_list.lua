-- One request for random users of a file. Arguments: method, path, body, file of user ids, one per line.
-- "{user}" in path and body is replaced by the user's id.
done = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "summary.lua")

init = function(args)
  method, path, body, users = args[1], args[2], args[3], {}
  math.randomseed(1)
  for line in io.lines(args[4]) do users[#users + 1] = line end
  if body ~= "" then wrk.headers["Content-Type"] = "application/json" end
end

request = function()
  local user = users[math.random(#users)]
  local filled = body ~= "" and body:gsub("{user}", user) or nil
  return wrk.format(method, (path:gsub("{user}", user)), nil, filled)
end
