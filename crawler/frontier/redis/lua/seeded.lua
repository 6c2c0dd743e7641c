-- ARGV: clock, name. It has read its seeds to their end: nobody owes them any more, nor the dead who had the same.
local at = clock(ARGV[1])
local words = redis.call('HGET', R .. 'seeding', ARGV[2])
if not words then return 0 end
local owing = redis.call('HGETALL', R .. 'seeding')
for i = 1, #owing, 2 do
  local member = redis.call('HGET', R .. 'members', owing[i]) or ''
  if owing[i] == ARGV[2] or (owing[i + 1] == words and not is_alive(string.match(member, '^%S*'), at)) then
    redis.call('HDEL', R .. 'seeding', owing[i])
  end
end
return 1
