// The published client, unmodified, against nginx:
//
//     node client.mjs URL MODE
//
// URL is that of a location with redis_fallback_api token=full
// read_only_token=reader; MODE is normal or fallback.  What the store cannot do
// in a fallback yet is only tried in normal mode, and must be refused by name
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

const others = {
    hashes: async () => {
        await redis.del('h');
        assert.equal(await redis.hset('h', { a: 1, b: { c: 2 } }), 2);
        assert.deepEqual(await redis.hgetall('h'), { a: 1, b: { c: 2 } });
        assert.deepEqual(await redis.hmget('h', 'a', 'x'), { a: 1, x: null });
        assert.equal(await redis.hincrby('h', 'a', 2), 3);
    },
    lists: async () => {
        await redis.del('l');
        assert.equal(await redis.rpush('l', 'a', { b: 1 }), 2);
        assert.deepEqual(await redis.lrange('l', 0, -1), ['a', { b: 1 }]);
        assert.equal(await redis.lpop('l'), 'a');
    },
    sets: async () => {
        await redis.del('set');
        assert.equal(await redis.sadd('set', 'a', 'b'), 2);
        assert.deepEqual((await redis.smembers('set')).sort(), ['a', 'b']);
        assert.equal(await redis.sismember('set', 'a'), 1);
    },
    'sorted sets': async () => {
        await redis.del('z');
        assert.equal(await redis.zadd('z', { score: 1, member: 'a' },
                                      { score: 2.5, member: 'b' }), 2);
        assert.deepEqual(await redis.zrange('z', 0, -1, { withScores: true }),
                         ['a', 1, 'b', 2.5]);
        assert.equal(await redis.zscore('z', 'b'), 2.5);
    },
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
