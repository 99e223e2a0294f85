-- GET /health/live: the cost of the framework alone.
done = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "summary.lua")

request = function() return wrk.format("GET", "/health/live") end
