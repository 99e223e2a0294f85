-- The bare route of the same app: what the framework costs by itself.
done = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "summary.lua")

request = function() return wrk.format("GET", "/health/live") end
