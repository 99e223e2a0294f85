-- POST /feedback with one event per request, user after user.
-- Arguments: users, number of the first user, file of item ids (JSON strings, one per line), value.
done = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "summary.lua")

init = function(args)
  users, turn, value, items = tonumber(args[1]), tonumber(args[2]), args[4], {}
  math.randomseed(turn + 1)
  for line in io.lines(args[3]) do items[#items + 1] = line end
  wrk.headers["Content-Type"] = "application/json"
end

request = function()
  local body = '{"user_id":"u' .. turn % users .. '","events":[{"item_id":'
    .. items[math.random(#items)] .. ',"value":' .. value .. '}]}'
  turn = turn + 1
  return wrk.format("POST", "/feedback", nil, body)
end
