-- ARGV: name, 'read' or 'kept'. It has read its seeds to their end; and then, when what was said before is on the store's
-- disk and still known: nobody owes them any more who had the same. 0 where it was forgotten.
local mark = 'read.' .. ARGV[1]
if ARGV[2] == 'read' then
  redis.call('HSET', R .. 'session', mark, '1')
  return 1
end
if redis.call('HDEL', R .. 'session', mark) == 0 then return 0 end
local seeds = redis.call('HGET', R .. 'seeding', ARGV[1])
if not seeds then return 1 end
redis.call('SADD', R .. 'seeded', seeds)
local owing = redis.call('HGETALL', R .. 'seeding')
for i = 1, #owing, 2 do
  if owing[i + 1] == seeds then redis.call('HDEL', R .. 'seeding', owing[i]) end
end
return 1
