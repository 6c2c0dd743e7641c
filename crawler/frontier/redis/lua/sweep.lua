-- ARGV: generation, cursor, oldest. Unlink what an earlier run knew, about 500 hosts a call, but for what is remembered of
-- it as the last published one: where to go on, '' at the end. What is taken from the hosts themselves is what nobody
-- touched for 30 days.
local S = P .. ARGV[1] .. ':'
if ARGV[1] == G then return '' end
if ARGV[2] ~= 'rest' then
  -- By cursor and not by rank: others may be touching hosts meanwhile, and each moves what was behind it.
  local found = redis.call('ZSCAN', P .. 'hosts', ARGV[2], 'COUNT', 500)
  for i = 1, #found[2], 2 do redis.call('UNLINK', S .. 'q:' .. found[2][i], S .. 'l:' .. found[2][i]) end
  return found[1] == '0' and 'rest' or found[1]
end
for _, name in ipairs(redis.call('HKEYS', S .. 'files')) do redis.call('UNLINK', S .. 'part:' .. name) end
redis.call('UNLINK', S .. 'ready', S .. 'counts', S .. 'tally', S .. 'files', S .. 'traps', S .. 'domains', S .. 'members',
  S .. 'seeding', S .. 'accounts', S .. 'session', S .. 'closer', S .. 'seeded', S .. 'carrier', S .. 'left', S .. 'unread')
if ARGV[1] ~= E then redis.call('UNLINK', S .. 'urls', S .. 'below') end
local outdated = 0
for _, name in ipairs(redis.call('ZRANGEBYSCORE', P .. 'hosts', '-inf', '(' .. ARGV[3], 'LIMIT', 0, 1000)) do
  if redis.call('HGET', P .. 'h:' .. name, 'g') ~= G then
    redis.call('UNLINK', P .. 'h:' .. name, P .. 'r:' .. name)
    redis.call('ZREM', P .. 'hosts', name)
    outdated = outdated + 1
  end
end
if outdated == 1000 then return 'rest' end
redis.call('SREM', P .. 'stale', ARGV[1])
return ''
