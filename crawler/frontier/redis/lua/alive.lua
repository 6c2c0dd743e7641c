-- ARGV: clock. The clock, and the incarnations that have been heard of.
local at = exact(clock(ARGV[1]))
return {at, redis.call('ZRANGEBYSCORE', P .. 'workers', '(' .. at, '+inf')}
