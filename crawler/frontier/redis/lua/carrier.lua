-- ARGV: clock, worker, 'ask', 'carried' or 'kept'. Who carries the pages of the last published run over, once all seeds are
-- known? 'done': it has been done. 'yours'. 'wait': somebody does, or reads seeds. 'owed': whoever was to read seeds is
-- dead. It is done when what was said to be carried over is on the store's disk, and still known.
local at = clock(ARGV[1])
local mark = redis.call('GET', R .. 'carrier') or ''
if mark == 'done' then return 'done' end
if ARGV[3] == 'carried' then
  redis.call('SET', R .. 'carrier', 'carried ' .. ARGV[2])
  return 'wait'
elseif ARGV[3] == 'kept' and mark == 'carried ' .. ARGV[2] then
  redis.call('SET', R .. 'carrier', 'done')
  return 'done'
end
local owed = false
for _, name in ipairs(redis.call('HKEYS', R .. 'seeding')) do
  -- Those that were read and may still be forgotten are forgotten only with what is said to be carried over.
  if redis.call('HEXISTS', R .. 'session', 'read.' .. name) == 0 then
    local member = redis.call('HGET', R .. 'members', name) or ''
    if is_alive(string.match(member, '^%S*'), at) then return 'wait' end
    owed = true
  end
end
if owed then return 'owed' end
local who = string.match(mark, '%S+$')
if who and who ~= ARGV[2] and is_alive(who, at) then return 'wait' end
redis.call('SET', R .. 'carrier', ARGV[2])
return 'yours'
