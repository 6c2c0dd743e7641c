-- ARGV: clock, worker, 'ask', 'carried' or 'kept'. Who carries the pages of the last published run over, once all seeds are
-- known? 'done': it has been done. 'yours'. 'wait': somebody does, or reads seeds. 'owed': whoever was to read these seeds
-- is dead. It is done when what was said to be carried is on the store's disk and still known.
local at = clock(ARGV[1])
local mark = redis.call('GET', R .. 'carrier') or ''
if mark == 'done' then return {'done', {}} end
if ARGV[3] == 'carried' then
  redis.call('SET', R .. 'carrier', 'carried ' .. ARGV[2])
  return {'wait', {}}
elseif ARGV[3] == 'kept' and mark == 'carried ' .. ARGV[2] then
  redis.call('SET', R .. 'carrier', 'done')
  return {'done', {}}
end
local owing = redis.call('HGETALL', R .. 'seeding')
for i = 1, #owing, 2 do
  local member = redis.call('HGET', R .. 'members', owing[i]) or ''
  if is_alive(string.match(member, '^%S*'), at) then return {'wait', {}} end
end
if #owing > 0 then return {'owed', owing} end
local who = string.match(mark, '%S+$')
if who and who ~= ARGV[2] and is_alive(who, at) then return {'wait', {}} end
redis.call('SET', R .. 'carrier', ARGV[2])
return {'yours', {}}
