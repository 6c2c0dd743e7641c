-- ARGV: clock, worker, delay. Give back what it holds, 1,000 hosts a call, and stay. How many are left, and up to which
-- token are they no longer its own?
local at = clock(ARGV[1])
lapse(ARGV[2], at)
return {give_up(ARGV[2], at, tonumber(ARGV[3]), 1000), redis.call('HGET', P .. 'w:' .. ARGV[2], 'lapsed')}
