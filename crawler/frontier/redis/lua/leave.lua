-- ARGV: clock, worker, delay. Give back what it holds, 1,000 hosts a call; how many are left?
local at = clock(ARGV[1])
local left = give_up(ARGV[2], at, tonumber(ARGV[3]), 1000)
if left == 0 then
  forget_worker(ARGV[2])
  redis.call('DEL', P .. 'w:' .. ARGV[2])
end
return left
