-- ARGV: generation, from (rank of a host), oldest. Unlink what an earlier run knew, 500 hosts a call; where to go on,
-- -1 at the end. What is taken from the hosts themselves is what nobody touched for 30 days.
local S = P .. ARGV[1] .. ':'
if ARGV[1] == G then return -1 end
local from = tonumber(ARGV[2])
local names = redis.call('ZRANGE', P .. 'hosts', from, from + 499)
for _, name in ipairs(names) do redis.call('UNLINK', S .. 'q:' .. name, S .. 'l:' .. name) end
if #names == 500 then return from + 500 end
for _, name in ipairs(redis.call('HKEYS', S .. 'files')) do redis.call('UNLINK', S .. 'part:' .. name) end
redis.call('UNLINK', S .. 'urls', S .. 'ready', S .. 'counts', S .. 'tally', S .. 'files', S .. 'traps', S .. 'domains',
  S .. 'members', S .. 'seeding', S .. 'accounts', S .. 'session', S .. 'closer', S .. 'seeded')
for _, name in ipairs(redis.call('ZRANGEBYSCORE', P .. 'hosts', '-inf', '(' .. ARGV[3], 'LIMIT', 0, 1000)) do
  if redis.call('HGET', P .. 'h:' .. name, 'g') ~= G then
    redis.call('UNLINK', P .. 'h:' .. name, P .. 'r:' .. name)
    redis.call('ZREM', P .. 'hosts', name)
  end
end
redis.call('SREM', P .. 'stale', ARGV[1])
return -1
