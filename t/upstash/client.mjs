// The published client, unmodified, against nginx:
//
//     node client.mjs URL MODE
//
// URL is that of a location with redis_fallback_api token=full
// read_only_token=reader; MODE is normal or fallback.  What the store cannot do
// in a fallback is only tried in normal mode, and must be refused by name
// otherwise.

import assert from 'node:assert/strict';
import { Redis } from '@upstash/redis';

const [url, mode] = process.argv.slice(2);
const normal = mode === 'normal';

const redis = new Redis({ url, token: 'full', retry: false });
const plain = new Redis({ url, token: 'full', retry: false,
                          automaticDeserialization: false });
const raw = new Redis({ url, token: 'full', retry: false,
                        responseEncoding: false });

let failed = 0;
let done = 0;

async function test(name, run) {
    try {
        await run();
        done++;
    } catch (error) {
        failed++;
        console.log(`${mode}: ${name}: ${error.stack}`);
    }
}

const rejects = (promise, pattern) => assert.rejects(promise, pattern);

await test('strings', async () => {
    assert.equal(await redis.set('s', 'value'), 'OK');
    assert.equal(await redis.get('s'), 'value');
    assert.equal(await redis.set('s', 'x', { nx: true }), null);
    assert.equal(await redis.set('s', 'new', { xx: true, get: true }), 'value');
    assert.equal(await redis.set('s', 'new', { ex: 100 }), 'OK');
    assert.equal(await redis.ttl('s'), 100);
    assert.equal(await redis.append('s', 'er'), 5);
    assert.equal(await redis.strlen('s'), 5);
    assert.equal(await redis.getrange('s', 1, 2), 'ew');
    assert.equal(await redis.setrange('s', 0, 'N'), 5);
    assert.equal(await redis.getset('s', 'other'), 'Newer');
    assert.equal(await redis.getex('s', { persist: true }), 'other');
    assert.equal(await redis.getdel('s'), 'other');
    assert.equal(await redis.get('s'), null);
    assert.equal(await redis.setex('s', 50, 'v'), 'OK');
    assert.equal(await redis.psetex('s', 50000, 'v'), 'OK');
    assert.equal(await redis.setnx('s', 'v'), 0);
    assert.equal(await redis.del('s'), 1);
});

await test('numbers', async () => {
    await redis.del('n');
    assert.equal(await redis.incr('n'), 1);
    assert.equal(await redis.incrby('n', 41), 42);
    assert.equal(await redis.decr('n'), 41);
    assert.equal(await redis.decrby('n', 1), 40);
    assert.equal(await redis.incrbyfloat('n', 0.5), 40.5);
    assert.equal(await redis.get('n'), 40.5);
    assert.equal(await redis.set('n', 12345678901234567890n.toString()), 'OK');
    assert.equal(await plain.get('n'), '12345678901234567890');
});

await test('JSON values', async () => {
    const value = { a: [1, null, 'x'], b: { c: true }, 'é': '日本 😀' };

    await redis.set('json', value);
    assert.deepEqual(await redis.get('json'), value);
    assert.deepEqual(await redis.mget('json', 'nix'), [value, null]);
    assert.equal(await plain.get('json'), JSON.stringify(value));
    await redis.set('json', true);
    assert.equal(await redis.get('json'), true);
    await redis.set('json', null);
    assert.equal(await redis.get('json'), null);
});

await test('any text', async () => {
    const texts = ['', ' ', '"', '\\', "'", '\n\r\t\b\f', '\u0000a\u0000',
                   '\u007f', 'é', '日本語', '😀👩‍👩‍👧', '\u2028', 'OK', '"OK"',
                   '[]', '{"', 'a/b?c=d&e#f%20', 'x'.repeat(100000)];

    for (const text of texts) {
        await plain.set(`text:${text.slice(0, 20)}`, text);
        assert.equal(await plain.get(`text:${text.slice(0, 20)}`), text);
        assert.deepEqual(await plain.mget(`text:${text.slice(0, 20)}`),
                         [text]);
    }

    await raw.set('text', 'é\u0000😀');
    assert.equal(await raw.get('text'), 'é\u0000😀');
});

await test('keys', async () => {
    await redis.del('k1', 'k2', 'k3');
    assert.equal(await redis.mset({ k1: 'v1', k2: 'v2' }), 'OK');
    assert.equal(await redis.msetnx({ k2: 'x', k3: 'y' }), 0);
    assert.equal(await redis.exists('k1', 'k2', 'k3'), 2);
    assert.equal(await redis.type('k1'), 'string');
    assert.equal(await redis.type('k3'), 'none');
    assert.equal(await redis.touch('k1', 'k3'), 1);
    assert.equal(await redis.rename('k1', 'k3'), 'OK');
    assert.equal(await redis.renamenx('k3', 'k2'), 0);
    assert.equal(await redis.copy('k3', 'k1'), 'COPIED');
    assert.equal(await redis.expire('k1', 100), 1);
    assert.equal(await redis.ttl('k1'), 100);
    assert.ok(await redis.pttl('k1') > 99000);
    assert.equal(await redis.expire('k1', 50, 'GT'), 0);
    assert.equal(await redis.persist('k1'), 1);
    assert.equal(await redis.ttl('k1'), -1);
    assert.equal(await redis.pexpire('k1', 100000), 1);
    assert.equal(await redis.expireat('k1', 4000000000), 1);
    assert.equal(await redis.pexpireat('k1', 4000000000000), 1);
    assert.equal(await redis.unlink('k1'), 1);
    assert.deepEqual((await redis.keys('k[123]')).sort(), ['k2', 'k3']);
    assert.ok(await redis.dbsize() >= 2);
    assert.equal(typeof await redis.randomkey(), 'string');

    const found = new Set();
    let cursor = '0';

    do {
        const [next, keys] = await redis.scan(cursor, { match: 'k?', count: 5 });
        keys.forEach((key) => found.add(key));
        cursor = next;
    } while (cursor !== '0');

    assert.deepEqual([...found].sort(), ['k2', 'k3']);
});

await test('server', async () => {
    assert.equal(await redis.ping(), 'PONG');
    assert.equal(await redis.ping(['hello']), 'hello');
    assert.equal(await redis.echo('hello'), 'hello');
    assert.equal((await redis.time()).length, 2);
});

await test('pipeline', async () => {
    const p = redis.pipeline();

    p.set('p', 1).incr('p').get('p').mget('p', 'nix').set('pj', { a: 1 });
    p.get('pj');
    assert.deepEqual(await p.exec(), ['OK', 2, 2, [2, null], 'OK', { a: 1 }]);

    const mixed = redis.pipeline().set('p', 'x').incr('p').get('p');
    const results = await mixed.exec({ keepErrors: true });
    assert.equal(results[0].result, 'OK');
    assert.match(results[1].error, /^ERR value is not an integer/);
    assert.equal(results[2].result, 'x');

    await rejects(redis.pipeline().incr('p').exec(), /Command 1 \[ incr \]/i);

    const many = redis.pipeline();
    for (let i = 0; i < 500; i++) many.append('many', 'x');
    await redis.del('many');
    assert.deepEqual(await many.exec(), [...Array(500).keys()].map((i) => i + 1));
});

await test('auto-pipeline', async () => {
    const auto = Redis.autoPipeline
        ? Redis.autoPipeline(redis)
        : new Redis({ url, token: 'full', enableAutoPipelining: true });

    const [a, b, c] = await Promise.all([auto.set('auto', 1), auto.incr('auto'),
                                         auto.get('auto')]);
    assert.deepEqual([a, b, c], ['OK', 2, 2]);
});

await test('multi', async () => {
    const results = await redis.multi().set('m', 1).incr('m').expire('m', 100)
                               .ttl('m').get('m').exec();
    assert.deepEqual(results, ['OK', 2, 1, 100, 2]);

    const kept = await redis.multi().set('m', 'x').incr('m').get('m')
                            .exec({ keepErrors: true });
    assert.match(kept[1].error, /^ERR value is not an integer/);
    assert.equal(kept[2].result, 'x');
});

await test('errors', async () => {
    await redis.set('e', 'x');
    await rejects(redis.incr('e'), /ERR value is not an integer/);
    await rejects(redis.flushall(), /NOPERM/);
    await rejects(new Redis({ url, token: 'wrong', retry: false }).get('e'),
                  /Unauthorized/);
    await rejects(redis.exec(['NOPE', 'a']), /ERR unknown command 'NOPE'/);

    const reader = new Redis({ url, token: 'reader', retry: false });
    assert.equal(await reader.get('e'), 'x');
    await rejects(reader.set('e', 'y'), /NOPERM/);
});

await test('hashes', async () => {
    await redis.del('h', 'h2');
    assert.equal(await redis.hset('h', { a: 1, b: { c: 2 } }), 2);
    assert.deepEqual(await redis.hgetall('h'), { a: 1, b: { c: 2 } });
    assert.deepEqual(await redis.hget('h', 'b'), { c: 2 });
    assert.equal(await redis.hget('h', 'x'), null);
    assert.deepEqual(await redis.hmget('h', 'a', 'x'), { a: 1, x: null });
    assert.equal(await redis.hmget('h', 'x', 'y'), null);
    assert.equal(await redis.hincrby('h', 'a', 2), 3);
    assert.equal(await redis.hincrbyfloat('h', 'a', 0.5), 3.5);
    assert.equal(await redis.hmset('h', { d: 'x', e: true }), 'OK');
    assert.equal(await redis.hsetnx('h', 'd', 'y'), 0);
    assert.equal(await redis.hsetnx('h', 'f', 'y'), 1);
    assert.deepEqual((await redis.hkeys('h')).sort(),
                     ['a', 'b', 'd', 'e', 'f']);
    assert.equal((await redis.hvals('h')).length, 5);
    assert.equal(await redis.hlen('h'), 5);
    assert.equal(await redis.hstrlen('h', 'd'), 1);
    assert.equal(await redis.hexists('h', 'x'), 0);
    assert.equal(await redis.hdel('h', 'd', 'e', 'x'), 2);

    // the client leaves fractions alone here
    assert.deepEqual(await redis.hgetall('h'),
                     { a: '3.5', b: { c: 2 }, f: 'y' });
    assert.ok(['a', 'b', 'f'].includes(await redis.hrandfield('h')));
    assert.deepEqual((await redis.hrandfield('h', 5)).sort(), ['a', 'b', 'f']);
    assert.deepEqual(await redis.hrandfield('h', 5, true),
                     { a: 3.5, b: { c: 2 }, f: 'y' });
    assert.equal(await redis.hgetall('nix'), null);
    assert.equal(await redis.expire('h', 100), 1);
    assert.equal(await redis.ttl('h'), 100);
    assert.equal(await redis.type('h'), 'hash');

    await redis.hset('h2', Object.fromEntries(
        [...Array(300).keys()].map((i) => [`f${i}`, i])));

    const found = {};
    let cursor = '0';

    do {
        const [next, list] = await redis.hscan('h2', cursor,
                                               { match: 'f*', count: 50 });
        for (let i = 0; i < list.length; i += 2) found[list[i]] = list[i + 1];
        cursor = next;
    } while (cursor !== '0');

    assert.equal(Object.keys(found).length, 300);
    assert.equal(found.f299, 299);
});

await test('lists', async () => {
    await redis.del('l', 'l2');
    assert.equal(await redis.rpush('l', 'a', { b: 1 }), 2);
    assert.deepEqual(await redis.lrange('l', 0, -1), ['a', { b: 1 }]);
    assert.equal(await redis.lpush('l', 'z', 'y'), 4);
    assert.deepEqual(await redis.lrange('l', 0, 1), ['y', 'z']);
    assert.equal(await redis.lpushx('nix', 1), 0);
    assert.equal(await redis.rpushx('l', 7), 5);
    assert.equal(await redis.llen('l'), 5);
    assert.equal(await redis.lindex('l', -1), 7);
    assert.equal(await redis.lindex('l', 9), null);
    assert.equal(await redis.lset('l', 0, [1, 2]), 'OK');
    assert.deepEqual(await redis.lindex('l', 0), [1, 2]);
    assert.equal(await redis.linsert('l', 'before', 'a', 'new'), 6);
    assert.equal(await redis.linsert('l', 'after', 'nix', 'new'), -1);
    assert.equal(await redis.lpos('l', 'a'), 3);
    assert.deepEqual(await redis.lpos('l', 'new', { count: 0 }), [2]);
    assert.equal(await redis.lpos('l', 'nix'), null);
    assert.equal(await redis.lrem('l', 0, 'new'), 1);
    assert.equal(await redis.lpop('l').then(JSON.stringify), '[1,2]');
    assert.equal(await redis.rpop('l'), 7);
    assert.deepEqual(await redis.lpop('l', 2), ['z', 'a']);
    assert.deepEqual(await redis.lpop('l', 2), [{ b: 1 }]);
    assert.equal(await redis.lpop('l'), null);
    assert.equal(await redis.exists('l'), 0);
    assert.equal(await redis.rpush('l', 1, 2, 3, 4), 4);
    assert.equal(await redis.lmove('l', 'l2', 'left', 'right'), 1);
    assert.equal(await redis.exec(['RPOPLPUSH', 'l', 'l2']), 4);
    assert.deepEqual(await redis.lrange('l2', 0, -1), [4, 1]);
    assert.equal(await redis.ltrim('l', 1, 1), 'OK');
    assert.deepEqual(await redis.lrange('l', 0, -1), [3]);
    assert.deepEqual(await redis.lrange('nix', 0, -1), []);
    await rejects(redis.lset('l', 5, 'x'), /ERR index out of range/);
    await rejects(redis.lset('nix', 0, 'x'), /ERR no such key/);
});

await test('sets', async () => {
    await redis.del('set', 'set2', 'set3');
    assert.equal(await redis.sadd('set', 'a', 'b', { c: 1 }), 3);
    assert.equal(await redis.sadd('set', 'a'), 0);
    assert.deepEqual((await redis.smembers('set')).map(JSON.stringify).sort(),
                     ['"a"', '"b"', '{"c":1}']);
    assert.equal(await redis.sismember('set', 'a'), 1);
    assert.equal(await redis.sismember('set', { c: 1 }), 1);
    assert.deepEqual(await redis.smismember('set', ['a', 'x']), [1, 0]);
    assert.equal(await redis.scard('set'), 3);
    assert.equal(await redis.srem('set', { c: 1 }, 'x'), 1);
    assert.equal(await redis.sadd('set2', 'b', 'd'), 2);
    assert.deepEqual(await redis.sinter('set', 'set2'), ['b']);
    assert.deepEqual((await redis.sunion('set', 'set2')).sort(),
                     ['a', 'b', 'd']);
    assert.deepEqual(await redis.sdiff('set', 'set2'), ['a']);
    assert.equal(await redis.sintercard(['set', 'set2']), 1);
    assert.equal(await redis.sinterstore('set3', 'set', 'set2'), 1);
    assert.equal(await redis.sdiffstore('set3', 'set', 'set2'), 1);
    assert.equal(await redis.sunionstore('set3', 'set', 'set2'), 3);
    assert.equal(await redis.smove('set', 'set2', 'a'), 1);
    assert.equal(await redis.smove('set', 'set2', 'a'), 0);
    assert.deepEqual((await redis.smembers('set2')).sort(), ['a', 'b', 'd']);
    assert.ok(['a', 'b', 'd'].includes(await redis.srandmember('set3')));
    assert.equal((await redis.srandmember('set3', 2)).length, 2);
    assert.ok(['a', 'b', 'd'].includes(await redis.spop('set3')));
    assert.equal((await redis.spop('set3', 5)).length, 2);
    assert.equal(await redis.spop('set3'), null);
    assert.equal(await redis.exists('set3'), 0);

    const [next, members] = await redis.sscan('set2', 0, { match: '[ab]' });
    assert.equal(next, '0');
    assert.deepEqual(members.sort(), ['a', 'b']);
});

await test('sorted sets', async () => {
    await redis.del('z');
    assert.equal(await redis.zadd('z', { score: 1, member: 'a' },
                                  { score: 2.5, member: 'b' }), 2);
    assert.deepEqual(await redis.zrange('z', 0, -1, { withScores: true }),
                     ['a', 1, 'b', 2.5]);
    assert.equal(await redis.zscore('z', 'b'), 2.5);
    assert.equal(await redis.zscore('z', 'x'), null);
    assert.deepEqual(await redis.zmscore('z', ['a', 'x']), [1, null]);
    assert.equal(await redis.zadd('z', { nx: true },
                                  { score: 9, member: 'a' }), 0);
    assert.equal(await redis.zadd('z', { gt: true, ch: true },
                                  { score: 3, member: 'a' },
                                  { score: 1, member: 'b' }), 1);
    assert.equal(await redis.zadd('z', { incr: true },
                                  { score: 2, member: 'a' }), 5);
    assert.equal(await redis.zadd('z', { xx: true, incr: true },
                                  { score: 2, member: 'x' }), null);
    assert.equal(await redis.zincrby('z', 0.25, 'b'), 2.75);
    assert.equal(await redis.zadd('z', { score: 7, member: { c: 1 } }), 1);
    assert.equal(await redis.zcard('z'), 3);
    assert.equal(await redis.zcount('z', '(2.75', '+inf'), 2);
    assert.equal(await redis.zrank('z', 'a'), 1);
    assert.equal(await redis.zrank('z', 'x'), null);
    assert.equal(await redis.zrevrank('z', 'a'), 1);
    assert.equal(await redis.zrank('z', { c: 1 }), 2);
    assert.deepEqual(await redis.zrange('z', 0, 1, { rev: true }),
                     [{ c: 1 }, 'a']);
    assert.deepEqual(await redis.zrange('z', 2, 6, { byScore: true }),
                     ['b', 'a']);
    assert.deepEqual(await redis.zrange('z', '+inf', '-inf',
                                        { byScore: true, rev: true, offset: 1,
                                          count: 1, withScores: true }),
                     ['a', 5]);
    assert.deepEqual(await redis.exec(['ZREVRANGEBYSCORE', 'z', '5', '(2']),
                     ['a', 'b']);
    assert.equal(await redis.zrem('z', { c: 1 }, 'x'), 1);
    assert.deepEqual(await redis.zpopmax('z'), ['a', 5]);
    assert.deepEqual(await redis.zpopmin('z', 3), ['b', 2.75]);
    assert.deepEqual(await redis.zpopmin('z'), []);
    assert.equal(await redis.exists('z'), 0);

    for (const member of ['a', 'b', 'c', 'd', 'e', 'f']) {
        await redis.zadd('z', { score: 0, member });
    }

    assert.equal(await redis.zlexcount('z', '[b', '(e'), 3);
    assert.deepEqual(await redis.zrange('z', '[b', '[d', { byLex: true }),
                     ['b', 'c', 'd']);
    assert.equal(await redis.zremrangebylex('z', '-', '[a'), 1);
    assert.equal(await redis.zremrangebyrank('z', 0, 0), 1);
    await redis.zadd('z', { score: 8, member: 'f' });
    assert.equal(await redis.zremrangebyscore('z', 7, 9), 1);

    const [next, members] = await redis.zscan('z', 0);
    assert.equal(next, '0');
    assert.deepEqual(members.sort(), [0, 0, 0, 'c', 'd', 'e']);
    assert.equal((await redis.exec(['ZRANDMEMBER', 'z', '2'])).length, 2);
});

// JSON, emoji and control characters as elements, encoded on the way and not

await test('any element', async () => {
    const texts = ['', ' ', '"', '\\', '\n\r\t', '\u0000a\u0000', 'é', '日本語',
                   '😀👩‍👩‍👧', '\u2028', 'OK', '[]', '{"', 'a/b?c=d&e#f%20', '-1',
                   'x'.repeat(300)];

    for (const client of [plain, raw]) {
        await client.del('any:h', 'any:l', 'any:s', 'any:z');
        await client.hset('any:h', Object.fromEntries(
            texts.map((text) => [text, text])));
        await client.rpush('any:l', ...texts);
        await client.sadd('any:s', ...texts);
        await client.zadd('any:z', ...texts.map((member, i) =>
                                                ({ score: i, member })));
    }

    const pairs = await plain.hgetall('any:h');

    assert.deepEqual([...pairs].sort(), [...texts, ...texts].sort());
    assert.deepEqual(await plain.lrange('any:l', 0, -1), texts);
    assert.deepEqual((await plain.smembers('any:s')).sort(),
                     [...texts].sort());
    assert.deepEqual(await plain.zrange('any:z', 0, -1), texts);

    for (const [i, text] of texts.entries()) {
        assert.equal(await plain.hget('any:h', text), text);
        assert.equal(await plain.lpos('any:l', text), i);
        assert.equal(await plain.sismember('any:s', text), 1);
        assert.equal(await redis.zscore('any:z', text), i);
    }

    assert.deepEqual(await raw.lrange('any:l', 5, 9),
                     texts.slice(5, 10));
    assert.equal(await raw.hget('any:h', '日本語'), '日本語');
    assert.deepEqual(await raw.zrange('any:z', 8, 8), ['😀👩‍👩‍👧']);
});

// bytes that are no text, by the path and its body, and encoded on the way back

await test('binary elements', async () => {
    const bytes = Uint8Array.from([...Array(256).keys()]);
    const base64 = Buffer.from(bytes).toString('base64');
    const call = async (path, body) => {
        const res = await fetch(`${url}/${path}`, {
            method: 'POST', body,
            headers: { Authorization: 'Bearer full',
                       'Upstash-Encoding': 'base64' },
        });
        return (await res.json()).result;
    };

    await redis.del('bin:h', 'bin:l', 'bin:s', 'bin:z');
    assert.equal(await call('hset/bin:h/field', bytes), 1);
    assert.equal(await call('hget/bin:h/field'), base64);
    assert.deepEqual(await call('hgetall/bin:h'),
                     [Buffer.from('field').toString('base64'), base64]);
    assert.equal(await call('rpush/bin:l', bytes), 1);
    assert.deepEqual(await call('lrange/bin:l/0/-1'), [base64]);
    assert.equal(await call('sadd/bin:s', bytes), 1);
    assert.equal(await call('sismember/bin:s', bytes), 1);
    assert.deepEqual(await call('smembers/bin:s'), [base64]);
    assert.equal(await call('zadd/bin:z/1.5', bytes), 1);
    assert.deepEqual(await call('zrange/bin:z/0/-1/WITHSCORES'),
                     [base64, Buffer.from('1.5').toString('base64')]);
});

await test('collections in a pipeline', async () => {
    const p = redis.pipeline();

    p.del('ph', 'pl', 'ps', 'pz');
    p.hset('ph', { a: { b: 1 }, c: '😀' }).hgetall('ph').hincrby('ph', 'n', 5);
    p.rpush('pl', { x: 1 }, 'y').lrange('pl', 0, -1).lpop('pl');
    p.sadd('ps', 'm').sismember('ps', 'm').smembers('ps');
    p.zadd('pz', { score: 2, member: { m: 1 } });
    p.zrange('pz', 0, -1, { withScores: true }).zincrby('pz', 1, { m: 1 });
    assert.deepEqual((await p.exec()).slice(1),
                     [2, { a: { b: 1 }, c: '😀' }, 5,
                      2, [{ x: 1 }, 'y'], { x: 1 },
                      1, 1, ['m'],
                      1, [{ m: 1 }, 2], 3]);

    const mixed = await redis.pipeline().lpush('ph', 1).hget('ph', 'n')
                             .exec({ keepErrors: true });
    assert.match(mixed[0].error, /^WRONGTYPE Operation against a key/);
    assert.equal(mixed[1].result, 5);
});

await test('collections in a transaction', async () => {
    const results = await redis.multi().del('mh', 'ml', 'ms', 'mz')
        .hset('mh', { a: { b: 1 } }).hgetall('mh')
        .rpush('ml', 1, 2, 3).lmove('ml', 'ml', 'left', 'right')
        .lrange('ml', 0, -1)
        .sadd('ms', 'x', 'y').srem('ms', 'x').smembers('ms')
        .zadd('mz', { score: 1, member: 'a' }, { score: 2, member: 'b' })
        .zremrangebyscore('mz', 0, 1).zcard('mz').expire('mz', 100).exec();

    assert.deepEqual(results.slice(1), [1, { a: { b: 1 } }, 3, 1, [2, 3, 1],
                                        2, 1, ['y'], 2, 1, 1, 1]);
    assert.equal(await redis.ttl('mz'), 100);

    const kept = await redis.multi().sadd('mh', 'x').hget('mh', 'a')
                            .exec({ keepErrors: true });
    assert.match(kept[0].error, /^WRONGTYPE Operation against a key/);
    assert.deepEqual(kept[1].result, { b: 1 });
});

await test('collections and other types', async () => {
    const wrong = /WRONGTYPE Operation against a key holding the wrong kind/;

    await redis.set('wrong', 'x');
    await redis.del('wrong:h');
    await redis.hset('wrong:h', { a: 'x' });
    await rejects(redis.hget('wrong', 'a'), wrong);
    await rejects(redis.rpush('wrong', 'a'), wrong);
    await rejects(redis.smembers('wrong'), wrong);
    await rejects(redis.zadd('wrong', { score: 1, member: 'a' }), wrong);
    await rejects(redis.get('wrong:h'), wrong);
    await rejects(redis.hincrby('wrong:h', 'a', 1),
                  /ERR hash value is not an integer/);
    assert.equal(await redis.rename('wrong:h', 'wrong'), 'OK');
    assert.deepEqual(await redis.hgetall('wrong'), { a: 'x' });
    assert.equal(await redis.copy('wrong', 'wrong:h'), 'COPIED');
    assert.equal(await redis.type('wrong:h'), 'hash');
});

// what Redis has only in normal mode

const others = {
    streams: async () => {
        await redis.del('x');
        assert.equal(await redis.xadd('x', '1-1', { f: 'v' }), '1-1');
        assert.deepEqual(await redis.xrange('x', '-', '+'),
                         { '1-1': { f: 'v' } });
    },
    scripts: async () => {
        assert.deepEqual(await redis.eval('return {KEYS[1], ARGV[1], "OK"}',
                                          ['k'], ['v']), ['k', 'v', 'OK']);
    },
};

for (const [name, run] of Object.entries(others)) {
    await test(name, async () => {
        if (normal) {
            await run();
        } else {
            await rejects(run(), /FALLBACK '.*' needs Redis/);
        }
    });
}

console.log(`${mode}: ${done} tests passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
