-- ARGV: clock, worker, name, who it is, its seeds ('' none), its role ('worker', 'lead', 'led'). One more crawls, or
-- leads. How many others do? -1: the run is over.
if redis.call('HGET', KEYS[1], 'finished') == '1' then return -1 end
local at = clock(ARGV[1])
local worker, name = ARGV[2], ARGV[3]
redis.call('HSET', P .. 'w:' .. worker, 'name', name, 'working', '1', 'alone', '', 'looked', '', 'role', ARGV[6])
local others = 0
for _, other in ipairs(redis.call('SMEMBERS', P .. 'work')) do
  if other ~= worker and is_alive(other, at) then others = others + 1 end
end
for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '(' .. exact(at), '+inf')) do
  -- While a lead is there it starts its dead again: what they have done counts.
  local said = redis.call('HMGET', P .. 'w:' .. other, 'role', 'working')
  if other ~= worker and said[1] == 'lead' and said[2] == '1' then others = others + 1 end
end
if others == 0 then
  -- Limits and figures count from here: from the first of those that are present together.
  redis.call('DEL', R .. 'session', R .. 'accounts')
  redis.call('HSET', R .. 'session', 'began', exact(at), 'wire_bytes', redis.call('HGET', R .. 'tally', 'wire_bytes') or '0')
end
if redis.call('HGET', P .. 'verdict', 'run_id') == redis.call('HGET', KEYS[1], 'run_id') then
  redis.call('DEL', P .. 'verdict')
end
redis.call('DEL', R .. 'closer')
crawls(worker)
redis.call('HSET', R .. 'members', name, worker .. ' ' .. ARGV[4])
-- Whoever starts with seeds of the same words takes over what a dead one owes.
local words = string.match(ARGV[5], '^[^\n]+')
local owing = words and redis.call('HGETALL', R .. 'seeding') or {}
for i = 1, #owing, 2 do
  local member = redis.call('HGET', R .. 'members', owing[i]) or ''
  if string.match(owing[i + 1], '^[^\n]*') == words and not is_alive(string.match(member, '^%S*'), at) then
    redis.call('HSET', R .. 'seeding', owing[i], ARGV[5])
  end
end
if ARGV[5] ~= '' and redis.call('SISMEMBER', R .. 'seeded', ARGV[5]) == 0 then redis.call('HSET', R .. 'seeding', name, ARGV[5]) end
return others
