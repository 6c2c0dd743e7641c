-- ARGV: clock, worker, delay. Give back what it holds, 1,000 hosts a call, and stay; how many are left?
return give_up(ARGV[2], clock(ARGV[1]), tonumber(ARGV[3]), 1000)
