-- ARGV: clock, worker (place.start), places, life, delay, description, schema, salt, alone. Make the job if it is not
-- there; then: schema, salt, workers alive that want to be alone, or that one who does would not be (their
-- descriptions), hosts of the dead still to be freed.
local at = clock(ARGV[1])
local worker = ARGV[2]
local meta = redis.call('HMGET', KEYS[1], 'schema', 'salt')
if not meta[1] and redis.call('EXISTS', KEYS[1]) == 1 then
  return {'', '', {}, 0}
elseif not meta[1] then
  redis.call('HSET', KEYS[1], 'schema', ARGV[7], 'salt', ARGV[8], 'generation', '0')
  meta = {ARGV[7], ARGV[8]}
elseif tonumber(meta[1]) ~= tonumber(ARGV[7]) then
  return {meta[1], meta[2] or '', {}, 0}
end
local others = {}
local ours = {}
for place in string.gmatch(ARGV[3], '%S+') do ours[place] = true end
for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', '+inf')) do
  if other ~= worker and ours[string.match(other, '^(.*)%.')] then
    -- Who starts in a place holds its lock: whoever was there before is dead.
    redis.call('ZADD', P .. 'workers', 0, other)
  end
end
for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '(' .. exact(at), '+inf')) do
  if other ~= worker and (ARGV[9] == '1' or redis.call('HGET', P .. 'w:' .. other, 'alone') == '1') then
    others[#others + 1] = redis.call('HGET', P .. 'w:' .. other, 'is') or other
  end
end
if #others > 0 then return {meta[1], meta[2], others, 0} end
beat(worker, at, tonumber(ARGV[4]), tonumber(ARGV[5]))
redis.call('HSET', P .. 'w:' .. worker, 'is', ARGV[6], 'alone', ARGV[9])
return {meta[1], meta[2], others, reap(at, tonumber(ARGV[5]), 1000)}
