-- GET /recommend for random users. Arguments: users, length of a list.
done = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "summary.lua")

init = function(args)
  math.randomseed(1)
  users, k = tonumber(args[1]), args[2]
end

request = function()
  return wrk.format("GET", "/recommend?user_id=u" .. math.random(0, users - 1) .. "&k=" .. k)
end
