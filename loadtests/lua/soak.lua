-- Four GET /recommend to one POST /feedback, for random users, with a pause after each response.
-- Arguments: users, length of a list, file of item ids (JSON strings, one per line), value, mean pause in ms, seed.
done = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "summary.lua")

init = function(args)
  users, k, value, pause, items = tonumber(args[1]), args[2], args[4], tonumber(args[5]), {}
  math.randomseed(tonumber(args[6]))
  for line in io.lines(args[3]) do items[#items + 1] = line end
  wrk.headers["Content-Type"] = "application/json"
end

delay = function() return pause > 0 and math.random(0, 2 * pause) or 0 end

request = function()
  local user = "u" .. math.random(0, users - 1)
  if math.random(5) > 1 then return wrk.format("GET", "/recommend?user_id=" .. user .. "&k=" .. k) end
  local event = '{"item_id":' .. items[math.random(#items)] .. ',"value":' .. value .. '}'
  return wrk.format("POST", "/feedback", nil, '{"user_id":"' .. user .. '","events":[' .. event .. ']}')
end
