-- ARGV: cursor. About 1,000 URLs: cursor, then key, kind, seed, pending, late of each, and its host.
local found = redis.call('HSCAN', URLS, ARGV[1], 'COUNT', 1000)
local rows = {}
for i = 1, #found[2], 2 do
  local url = cmsgpack.unpack(found[2][i + 1])
  for _, value in ipairs({found[2][i], url[KIND], url[SEED], url[OUTCOME] == '' and 1 or 0, url[LATE], url[FIXED]}) do
    rows[#rows + 1] = value
  end
end
return {found[1], rows}
