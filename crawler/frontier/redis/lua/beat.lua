-- ARGV: clock, worker, life, delay. The clock, up to which token it has lost its leases, and whether it is known to crawl.
local at = clock(ARGV[1])
return {exact(at), beat(ARGV[2], at, tonumber(ARGV[3]), tonumber(ARGV[4])), redis.call('HEXISTS', P .. 'w:' .. ARGV[2], 'name')}
