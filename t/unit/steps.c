/*
 * kill -9 at any instruction that changes the zone.
 *
 * A process does one operation on a zone that it may only read.  Each store
 * faults; the handler makes the zone writable for this one instruction (the
 * trap flag ends it), and where memory is another then, this is what a worker
 * killed here would leave: a fork of the process has it, at the same address.
 * That fork plays the next process to lock, and checks:
 *
 *   - it comes to an end, and the zone is sound;
 *   - what Redis is to be told is what it was before the operation or what it
 *     is after it: all keys of an operation that is one, and each key of any;
 *   - it does not go back from the one to the other;
 *   - no file is taken for newer than it is, or is forgotten; sequence numbers
 *     rise; a change on record stays so;
 *   - the zone works: keys are changed once more, and when all has been told to
 *     a second zone that plays Redis, it holds what it is to hold.
 *
 * In some of the states that next process is killed as well, after each n-th
 * of its stores, and so is, now and then, the one that comes then: what is
 * found in the end is to be the same.
 *
 * A store of many bytes at once is one step: a signal does not come inside an
 * instruction.  Only for Linux on x86-64, where a process can step itself.
 *
 * RF_STEPS in the environment: "all", or n: of the states that come from the
 * same two stores in a row every n-th is looked at.  RF_STEPS_ONLY: operations
 * whose names contain this.  RF_STEPS_EVERY=n: every n-th operation.
 * RF_STEPS_AGAIN=n: in every n-th state that is looked at the next process is
 * killed, too; 0: in none.  RF_STEPS_STRIDE=n: after every n-th of its stores.
 */

#include "steps.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#if (NGX_LINUX && defined(__x86_64__))
#define STEPS_SUPPORTED  1
#include <dlfcn.h>
#include <ucontext.h>
#if defined(__GLIBC__)
#include <execinfo.h>
#endif
#endif


#if (STEPS_SUPPORTED)

#define STEPS_TRAP      0x100           /* of the flags register */
#define STEPS_AROUND    64              /* the longest store */
#define STEPS_PAIRS     4096
#define STEPS_SKIP      40
#define STEPS_LONG      100             /* looked at, until more are skipped */
#define STEPS_REPORTS   8               /* of an operation, at most */

/* those who find what another one has left, and are killed, too */
#define STEPS_KILLS     2
#define STEPS_AGAIN     600
#define STEPS_STRIDE    701
#define STEPS_THIRD     6               /* the last of them: every n-th time */


typedef struct {
    steps_t              *s;
    u_char               *start;
    size_t                size;

    u_char               *at;           /* of the store */
    u_char                old[2 * STEPS_AROUND];
    uintptr_t             code;         /* the instruction */
    uintptr_t             last_code;
    uint64_t              pair[STEPS_PAIRS];
    uint32_t              count[STEPS_PAIRS];

    ngx_uint_t            skip;         /* 0: all are looked at */
    ngx_uint_t            again;        /* 0: none is killed again */
    ngx_uint_t            stride;
    ngx_uint_t            kills;        /* before this one */
    ngx_uint_t            after;        /* a state was as after, and not as
                                           before */
} steps_trace_t;


static ngx_uint_t steps_operation(const steps_op_t *op, steps_shared_t *total,
    ngx_pool_t *pool, ngx_log_t *log);
static void steps_stage(steps_t *s);
static void steps_reference(steps_t *s, steps_view_t *view,
    ngx_uint_t salvage);
static void steps_trace(steps_t *s);
static void steps_fault(int sig, siginfo_t *info, void *ctx);
static void steps_stepped(int sig, siginfo_t *info, void *ctx);
static ngx_uint_t steps_select(void);
static void steps_state(void);
static ngx_uint_t steps_fork(ngx_uint_t kill);
static void steps_next(steps_t *s, ngx_uint_t follow);
static void steps_salvager(steps_t *s);
static void steps_on(void);
static void steps_off(void);
static ngx_uint_t steps_env(const char *name, ngx_uint_t by_default);
static void steps_where(void);
static void steps_handle(int sig, void (*handler)(int, siginfo_t *, void *));
static ngx_uint_t steps_wait(steps_t *s, pid_t pid, const char *what);
static void steps_allow(int prot);
static u_char *steps_around(void);


static steps_trace_t  steps_now;

#endif


RF_UNIT(steps)
{
#if (STEPS_SUPPORTED)
    char              *only;
    ngx_uint_t         i, n, every, wrong;
    steps_shared_t     total;
    const steps_op_t  *op;

    ngx_memzero(&total, sizeof(steps_shared_t));

    only = getenv("RF_STEPS_ONLY");
    every = ngx_max(steps_env("RF_STEPS_EVERY", 1), 1);
    wrong = 0;
    n = 0;

    for (i = 0; (op = steps_op(pool, i)) != NULL; i++) {

        if (i % every || (only && strstr(op->name, only) == NULL)) {
            continue;
        }

        n++;
        wrong += !steps_operation(op, &total, pool, log);
    }

    is_int(wrong, 0, "killed at each store: all operations");

    printf("# %d operations (%d refused), %d stores, %d states, %d looked at, "
           "%d of them salvaged, %d wrong\n", (int) n, (int) total.refused,
           (int) total.stores, (int) total.states, (int) total.checked,
           (int) total.salvaged, (int) total.wrong);
    printf("# salvages: %d were killed at one of their %d stores, %d of them "
           "at the second time\n", (int) total.again, (int) total.again_stores,
           (int) total.third);
#else
    ok(1, "killed at each store # SKIP not on this platform");
#endif
}


#if (STEPS_SUPPORTED)

/* in a process of its own: what it leaves is nobody's */

static ngx_uint_t
steps_operation(const steps_op_t *op, steps_shared_t *total, ngx_pool_t *pool,
    ngx_log_t *log)
{
    pid_t            pid;
    steps_t          s;
    ngx_uint_t       passed;
    ngx_log_t        quiet;
    steps_shared_t  *shared;

    shared = mmap(NULL, sizeof(steps_shared_t), PROT_READ|PROT_WRITE,
                  MAP_ANON|MAP_SHARED, -1, 0);
    if (shared == MAP_FAILED) {
        return 0;
    }

    quiet = *log;
    quiet.log_level = NGX_LOG_EMERG;

    ngx_memzero(&s, sizeof(steps_t));

    s.pool = pool;
    s.log = &quiet;
    s.op = op;
    s.shared = shared;

    /* goes on through all of them */

    shared->turn = total->turn;
    shared->again_stores = total->again_stores;
    shared->again = total->again;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        steps_stage(&s);
        fflush(stdout);
        _exit(0);
    }

    if (!steps_wait(&s, pid, "the operation")) {
        shared->broken = 1;
    }

    passed = (shared->wrong == 0 && !shared->broken);

    if (!passed || getenv("RF_STEPS_ONLY")) {
        ok(passed, "%s: %d stores, %d states, %d looked at, rc %d",
           op->name, (int) shared->stores, (int) shared->states,
           (int) shared->checked, (int) shared->rc);
    }

    total->stores += shared->stores;
    total->states += shared->states;
    total->checked += shared->checked;
    total->salvaged += shared->salvaged;
    total->wrong += shared->wrong;
    total->refused += (shared->rc != NGX_OK);
    total->third += shared->third;

    total->turn = shared->turn;
    total->again_stores = shared->again_stores;
    total->again = shared->again;

    munmap(shared, sizeof(steps_shared_t));

    return passed;
}


static void
steps_stage(steps_t *s)
{
    pid_t            pid;
    ngx_uint_t       i, same;
    steps_shared_t  *shared;

    shared = s->shared;

    alarm(STEPS_ALARM);
    ngx_time_update();
    s->now = ngx_rf_now();

    if (!steps_zones(s)) {
        steps_wrong(s, "no zones");
        return;
    }

    ngx_pid = STEPS_DEAD;
    steps_run(s, s->op->scene);

    steps_view(s, &shared->base);

    steps_reference(s, &shared->before, 1);
    steps_reference(s, &shared->got, 0);

    shared->after = shared->before;

    if (!steps_compare(s, 1)) {
        steps_wrong(s, "a salvage of the scene is seen");
    }

    /* once without a trace, in a fork: so the end is known before */

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        alarm(STEPS_ALARM);
        s->rc = NGX_OK;
        steps_run(s, s->op->op);
        shared->rc = s->rc;
        steps_look(s, &shared->after, 1, 1);
        fflush(stdout);
        _exit(0);
    }

    if (!steps_wait(s, pid, "the operation, not killed")) {
        return;
    }

    if (shared->rc != NGX_OK && !(s->op->flags & STEPS_REFUSED)) {
        steps_wrong(s, "it was refused: %d", (int) shared->rc);
    }

    same = (shared->before.n == shared->after.n);

    for (i = 0; same && i < shared->before.n; i++) {
        same = (shared->before.keys[i].said == shared->after.keys[i].said
                && shared->before.keys[i].end == shared->after.keys[i].end);
    }

    if (same && !(s->op->flags & (STEPS_SAME|STEPS_REFUSED))) {
        steps_wrong(s, "it changes nothing");
    }

    /* it is known to come to an end */

    alarm(0);
    steps_trace(s);
}


static void
steps_reference(steps_t *s, steps_view_t *view, ngx_uint_t salvage)
{
    pid_t  pid;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        steps_look(s, view, salvage, 1);
        fflush(stdout);
        _exit(0);
    }

    (void) steps_wait(s, pid, "a look at the scene");
}


static void
steps_trace(steps_t *s)
{
    ngx_memzero(&steps_now, sizeof(steps_trace_t));

    steps_now.s = s;
    steps_now.start = (u_char *) s->zone.shpool;
    steps_now.size = s->zone.shm_zone->shm.size;
    steps_now.skip = steps_env("RF_STEPS", STEPS_SKIP);
    steps_now.again = steps_env("RF_STEPS_AGAIN", STEPS_AGAIN);
    steps_now.stride = ngx_max(steps_env("RF_STEPS_STRIDE", STEPS_STRIDE), 1);

    steps_on();
    steps_run(s, s->op->op);
    steps_off();
}


static void
steps_on(void)
{
    steps_handle(SIGSEGV, steps_fault);
    steps_handle(SIGTRAP, steps_stepped);

    (void) mprotect(steps_now.start, steps_now.size, PROT_READ);
}


static void
steps_off(void)
{
    signal(SIGSEGV, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);

    (void) mprotect(steps_now.start, steps_now.size, PROT_READ|PROT_WRITE);
}


/* "all" is 0 */

static ngx_uint_t
steps_env(const char *name, ngx_uint_t by_default)
{
    char  *env;

    env = getenv(name);

    return env ? (ngx_uint_t) atoi(env) : by_default;
}


static void
steps_fault(int sig, siginfo_t *info, void *ctx)
{
    u_char      *p;
    ucontext_t  *uc;

    uc = ctx;
    p = info->si_addr;

    if (p < steps_now.start || p >= steps_now.start + steps_now.size
        || info->si_code != SEGV_ACCERR)
    {
        signal(SIGSEGV, SIG_DFL);
        return;
    }

    steps_now.at = p;
    steps_now.code = (uintptr_t) uc->uc_mcontext.gregs[REG_RIP];

    ngx_memcpy(steps_now.old, steps_around(), sizeof(steps_now.old));

    steps_allow(PROT_READ|PROT_WRITE);

    uc->uc_mcontext.gregs[REG_EFL] |= STEPS_TRAP;
}


static void
steps_stepped(int sig, siginfo_t *info, void *ctx)
{
    ucontext_t      *uc;
    steps_shared_t  *shared;

    uc = ctx;
    uc->uc_mcontext.gregs[REG_EFL] &= ~STEPS_TRAP;

    shared = steps_now.s->shared;

    if (steps_now.kills) {
        shared->again_stores++;

    } else {
        shared->stores++;
    }

    if (ngx_memcmp(steps_now.old, steps_around(), sizeof(steps_now.old))
        != 0)
    {
        shared->states += (steps_now.kills == 0);

        if (steps_select()) {
            steps_state();
        }
    }

    steps_allow(PROT_READ);
}


/* the page of the store, or two */

static void
steps_allow(int prot)
{
    u_char  *p, *end;

    p = ngx_max(steps_now.at - STEPS_AROUND, steps_now.start);
    end = ngx_min(steps_now.at + STEPS_AROUND,
                  steps_now.start + steps_now.size);

    p -= (uintptr_t) p % ngx_pagesize;

    (void) mprotect(p, end - p, prot);
}


/* what a store may have changed; the pages next to the zone may not exist */

static u_char *
steps_around(void)
{
    u_char  *p, *end;

    end = steps_now.start + steps_now.size;
    p = steps_now.at - STEPS_AROUND;

    if (p < steps_now.start) {
        return steps_now.start;
    }

    return ngx_min(p, end - sizeof(steps_now.old));
}


/*
 * The same two stores in a row: most of these are loops, or copies.  The first
 * time they are looked at; after that now and then, and the more seldom the
 * longer the operation is.
 */

static ngx_uint_t
steps_select(void)
{
    uint64_t    pair;
    ngx_uint_t  i, skip;

    pair = ((uint64_t) steps_now.code * 0x9e3779b97f4a7c15ULL)
           ^ ((uint64_t) steps_now.last_code * 0xc2b2ae3d27d4eb4fULL);

    pair += (pair == 0);

    steps_now.last_code = steps_now.code;

    if (steps_now.s->shared->wrong >= STEPS_REPORTS) {
        return 0;
    }

    if (steps_now.kills) {
        return steps_now.s->shared->again_stores % steps_now.stride == 0;
    }

    if (steps_now.skip == 0) {
        return 1;
    }

    i = (pair >> 40) % STEPS_PAIRS;

    while (steps_now.pair[i] && steps_now.pair[i] != pair) {
        i = (i + 1) % STEPS_PAIRS;
    }

    steps_now.pair[i] = pair;

    skip = steps_now.skip << ngx_min(steps_now.s->shared->checked / STEPS_LONG,
                                     16);

    return steps_now.count[i]++ % skip == 0;
}


static void
steps_state(void)
{
    ngx_uint_t       kill;
    steps_shared_t  *shared;

    shared = steps_now.s->shared;

    if (steps_now.kills == 0) {
        shared->checked++;
        kill = (steps_now.again && ++shared->turn % steps_now.again == 0);

    } else {
        shared->again++;
        kill = (steps_now.kills < STEPS_KILLS
                && shared->again % STEPS_THIRD == 0);
    }

    if (steps_fork(0) && kill) {
        (void) steps_fork(1);
    }
}


/* the next process; 0: it found something wrong */

static ngx_uint_t
steps_fork(ngx_uint_t kill)
{
    pid_t            pid;
    steps_t         *s;
    ngx_uint_t       wrong;
    steps_shared_t  *shared;

    s = steps_now.s;
    shared = s->shared;
    shared->sides = 0;
    wrong = shared->wrong;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        if (kill) {
            steps_salvager(s);

        } else {
            steps_next(s, 1);
        }

        fflush(stdout);
        _exit(0);
    }

    if (!steps_wait(s, pid, "the next process")) {
        steps_where();
        return 0;
    }

    if (shared->sides == 2) {
        steps_now.after = 1;

    } else if (shared->sides == 1 && steps_now.after) {
        steps_wrong(s, "what was as after is as before again");
    }

    if (shared->wrong != wrong) {
        shared->wrong = wrong + 1;
        steps_where();
        return 0;
    }

    return 1;
}


static void
steps_next(steps_t *s, ngx_uint_t follow)
{
    sigset_t  set;

    steps_off();

    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);

    steps_look(s, &s->shared->got, 0, follow);

    s->shared->sides = steps_compare(s, follow);
    s->shared->salvaged += (steps_now.kills == 0
                            && s->shared->got.salvaged);
}


/* salvages, and is killed in the middle of it */

static void
steps_salvager(steps_t *s)
{
    sigset_t  set;

    steps_off();

    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);

    /* no alarm: it is known to come to an end */

    s->shared->third += (steps_now.kills == 1);
    steps_now.kills++;

    steps_reborn(s);

    steps_on();
    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_unlock(&s->zone);
    steps_off();
}


/* addr2line tells more */

static void
steps_where(void)
{
    Dl_info  info;

    printf("# %s: store %d, state %d, kill %d", steps_now.s->op->name,
           (int) steps_now.s->shared->stores,
           (int) steps_now.s->shared->states, (int) steps_now.kills + 1);

    if (dladdr((void *) steps_now.code, &info)) {
        printf(", at %s +0x%lx", info.dli_fname,
               (long) (steps_now.code - (uintptr_t) info.dli_fbase));
    }

    printf("\n");

#if defined(__GLIBC__)
    {
        int    i, n;
        void  *frames[16];

        n = backtrace(frames, 16);

        printf("#");

        for (i = 3; i < n; i++) {
            if (dladdr(frames[i], &info)
                && strstr(info.dli_fname, ".so")
                && strstr(info.dli_fname, "rf_unit"))
            {
                printf(" 0x%lx", (long) ((uintptr_t) frames[i]
                                         - (uintptr_t) info.dli_fbase));
            }
        }

        printf("\n");
    }
#endif

    fflush(stdout);
}


static void
steps_handle(int sig, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction  sa;

    ngx_memzero(&sa, sizeof(struct sigaction));

    sa.sa_sigaction = handler;
    sa.sa_flags = SA_SIGINFO;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(sig, &sa, NULL);
}


static ngx_uint_t
steps_wait(steps_t *s, pid_t pid, const char *what)
{
    int  status;

    if (pid == -1 || waitpid(pid, &status, 0) != pid) {
        steps_wrong(s, "%s: fork() or waitpid() failed", what);
        return 0;
    }

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 1;
    }

    if (WIFSIGNALED(status)) {
        steps_wrong(s, "%s ended with signal %d", what, WTERMSIG(status));

    } else {
        steps_wrong(s, "%s exited with %d", what, WEXITSTATUS(status));
    }

    return 0;
}

#endif
