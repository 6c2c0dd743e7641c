return {redis.call('HGETALL', R .. 'counts'), redis.call('HGETALL', R .. 'tally')}
