-- Of the last published run, about 1,000 URLs further: what was no page is kept below the page that named it. How far that
-- is stands in the store, so that whoever asks, and however often, each URL is met once. Is it whole?
if E == '' or redis.call('HGET', KEYS[1], 'indexed') == E then return 1 end
local of, cursor = string.match(redis.call('HGET', KEYS[1], 'indexing') or '', '^(%d+) (%d+)$')
local found = redis.call('HSCAN', EARLIER, of == E and cursor or '0', 'COUNT', 1000)
local below = {}
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  if url[KIND] == 0 and url[OUTCOME] ~= '' and not is_page(url) then
    -- Of a URL that is too long the beginning alone is kept, which is another URL: it is below no page.
    local via = url[REASON] == 'url_too_long' and '' or cjson.decode(url[ROUTE])[1]
    if via ~= cjson.null then
      below[via] = below[via] or {redis.call('HGET', P .. E .. ':below', via) or ''}
      below[via][#below[via] + 1] = found[2][i]
    end
  end
end
for via, keys in pairs(below) do redis.call('HSET', P .. E .. ':below', via, table.concat(keys)) end
if found[1] == '0' then
  redis.call('HDEL', KEYS[1], 'indexing')
  redis.call('HSET', KEYS[1], 'indexed', E)
  return 1
end
redis.call('HSET', KEYS[1], 'indexing', E .. ' ' .. found[1])
return 0
