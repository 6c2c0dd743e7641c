-- ARGV: clock, worker, life, delay
local at = clock(ARGV[1])
return {exact(at), beat(ARGV[2], at, tonumber(ARGV[3]), tonumber(ARGV[4]))}
