/*
 * The loop's side of the disk, see ngx_rf_disk.h.
 *
 * A job is one block of malloc()ed memory that starts with what the handler
 * sees and ends with the thread task.  It is linked in the disk's list from
 * submission until its handler returned: at a worker's exit the thread pool
 * has run all tasks by the time our exit_process is called, but nobody is left
 * to call their handlers; ngx_rf_disk_finish() does it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif
#include "ngx_rf_codec.h"
#include "ngx_rf_disk.h"


/* ms of the timer that keeps a worker while a job is under way */
#define NGX_RF_DISK_HOLD        1000


typedef struct ngx_rf_disk_task_s  ngx_rf_disk_task_t;

typedef void (*ngx_rf_disk_run_pt)(ngx_rf_disk_task_t *task);

struct ngx_rf_disk_task_s {
    ngx_rf_disk_job_t     job;
    ngx_queue_t           queue;
    ngx_rf_disk_t        *disk;
    ngx_rf_file_conf_t   *conf;
    ngx_rf_disk_run_pt    run;
#if (NGX_THREADS)
    ngx_thread_task_t     task;
#endif
    ngx_event_t           event;
    ngx_rf_file_walk_t    walk;
    u_char                text[1];
};


struct ngx_rf_disk_s {
    ngx_rf_file_conf_t   *conf;
    void                 *tp;
    ngx_log_t            *log;
    ngx_queue_t           tasks;
    ngx_rf_disk_task_t   *writing;
    ngx_rf_disk_task_t   *logging;
    ngx_rf_journal_t      journal;      /* of the thread while "logging" */
    ngx_event_t           hold;
};


static ngx_rf_disk_task_t *ngx_rf_disk_task(ngx_rf_disk_t *disk,
    ngx_rf_disk_run_pt run, ngx_str_t *text, ngx_rf_disk_pt handler,
    void *data);
static ngx_rf_disk_job_t *ngx_rf_disk_log_post(ngx_rf_disk_t *disk,
    ngx_rf_disk_run_pt run, ngx_rf_journal_batch_t *batch,
    ngx_rf_disk_pt handler, void *data);
static ngx_rf_disk_job_t *ngx_rf_disk_log_scan(ngx_rf_disk_t *disk,
    ngx_rf_disk_run_pt run, ngx_rf_journal_read_t *read,
    ngx_rf_disk_pt handler, void *data);
static ngx_rf_disk_job_t *ngx_rf_disk_post(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_under_way(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_hold(ngx_event_t *ev);
static void ngx_rf_disk_home(ngx_event_t *ev);
static void ngx_rf_disk_free(ngx_rf_disk_task_t *task);
#if (NGX_THREADS)
static void ngx_rf_disk_run_thread(void *data, ngx_log_t *log);
#endif
static void ngx_rf_disk_write_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_read_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_walk_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_quarantine_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_mark_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_log_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_base_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_log_read_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_log_look_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_hand_read_thread(ngx_rf_disk_task_t *task);
static void ngx_rf_disk_hand_done_thread(ngx_rf_disk_task_t *task);


ngx_rf_disk_t *
ngx_rf_disk_create(ngx_rf_file_conf_t *conf, void *tp, ngx_log_t *log)
{
    ngx_rf_disk_t  *disk;

    disk = ngx_calloc(sizeof(ngx_rf_disk_t), log);
    if (disk == NULL) {
        return NULL;
    }

    disk->conf = conf;
    disk->tp = tp;
    disk->log = log;
    ngx_queue_init(&disk->tasks);
    ngx_rf_journal_init(&disk->journal);

    disk->hold.handler = ngx_rf_disk_hold;
    disk->hold.data = disk;
    disk->hold.log = log;

    return disk;
}


ngx_rf_disk_job_t *
ngx_rf_disk_write(ngx_rf_disk_t *disk, ngx_rf_record_t *batch,
    ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    if (disk->writing) {
        return NULL;
    }

    task = ngx_rf_disk_task(disk, ngx_rf_disk_write_thread, NULL, handler,
                            data);
    if (task == NULL) {
        return NULL;
    }

    task->job.records = batch;
    disk->writing = task;

    if (ngx_rf_disk_post(task) == NULL) {
        disk->writing = NULL;
        return NULL;
    }

    return &task->job;
}


ngx_rf_disk_job_t *
ngx_rf_disk_read(ngx_rf_disk_t *disk, ngx_str_t *key, uint64_t mark,
    ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    task = ngx_rf_disk_task(disk, ngx_rf_disk_read_thread, key, handler, data);
    if (task == NULL) {
        return NULL;
    }

    task->job.mark = mark;

    return ngx_rf_disk_post(task);
}


ngx_rf_disk_job_t *
ngx_rf_disk_walk(ngx_rf_disk_t *disk, ngx_rf_file_walk_t *from,
    ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    task = ngx_rf_disk_task(disk, ngx_rf_disk_walk_thread, NULL, handler,
                            data);
    if (task == NULL) {
        return NULL;
    }

    task->walk = *from;
    task->job.walk = &task->walk;

    return ngx_rf_disk_post(task);
}


ngx_rf_disk_job_t *
ngx_rf_disk_quarantine(ngx_rf_disk_t *disk, ngx_rf_record_t *rec,
    ngx_str_t *reason, ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    task = ngx_rf_disk_task(disk, ngx_rf_disk_quarantine_thread, reason,
                            handler, data);
    if (task == NULL) {
        return NULL;
    }

    task->job.records = rec;

    return ngx_rf_disk_post(task);
}


ngx_rf_disk_job_t *
ngx_rf_disk_mark(ngx_rf_disk_t *disk, uint64_t mark, ngx_rf_disk_pt handler,
    void *data)
{
    ngx_rf_disk_task_t  *task;

    task = ngx_rf_disk_task(disk, ngx_rf_disk_mark_thread, NULL, handler,
                            data);
    if (task == NULL) {
        return NULL;
    }

    task->job.mark = mark;

    return ngx_rf_disk_post(task);
}


ngx_rf_disk_job_t *
ngx_rf_disk_log(ngx_rf_disk_t *disk, ngx_rf_journal_batch_t *batch,
    ngx_rf_disk_pt handler, void *data)
{
    return ngx_rf_disk_log_post(disk, ngx_rf_disk_log_thread, batch, handler,
                                data);
}


ngx_rf_disk_job_t *
ngx_rf_disk_base(ngx_rf_disk_t *disk, ngx_rf_journal_batch_t *batch,
    ngx_rf_disk_pt handler, void *data)
{
    return ngx_rf_disk_log_post(disk, ngx_rf_disk_base_thread, batch, handler,
                                data);
}


static ngx_rf_disk_job_t *
ngx_rf_disk_log_post(ngx_rf_disk_t *disk, ngx_rf_disk_run_pt run,
    ngx_rf_journal_batch_t *batch, ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    if (disk->logging) {
        return NULL;
    }

    task = ngx_rf_disk_task(disk, run, NULL, handler, data);
    if (task == NULL) {
        return NULL;
    }

    task->job.batch = *batch;
    task->job.records = batch->records;
    disk->logging = task;

    if (ngx_rf_disk_post(task) == NULL) {
        disk->logging = NULL;
        return NULL;
    }

    return &task->job;
}


ngx_rf_disk_job_t *
ngx_rf_disk_log_read(ngx_rf_disk_t *disk, ngx_rf_journal_read_t *read,
    ngx_rf_disk_pt handler, void *data)
{
    return ngx_rf_disk_log_scan(disk, ngx_rf_disk_log_read_thread, read,
                                handler, data);
}


ngx_rf_disk_job_t *
ngx_rf_disk_log_look(ngx_rf_disk_t *disk, ngx_rf_journal_read_t *read,
    ngx_rf_disk_pt handler, void *data)
{
    return ngx_rf_disk_log_scan(disk, ngx_rf_disk_log_look_thread, read,
                                handler, data);
}


static ngx_rf_disk_job_t *
ngx_rf_disk_log_scan(ngx_rf_disk_t *disk, ngx_rf_disk_run_pt run,
    ngx_rf_journal_read_t *read, ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    task = ngx_rf_disk_task(disk, run, NULL, handler, data);
    if (task == NULL) {
        return NULL;
    }

    task->job.read = read;

    return ngx_rf_disk_post(task);
}


ngx_rf_disk_job_t *
ngx_rf_disk_hand_read(ngx_rf_disk_t *disk, ngx_rf_journal_hand_t *hand,
    ngx_rf_disk_pt handler, void *data)
{
    ngx_rf_disk_task_t  *task;

    task = ngx_rf_disk_task(disk, ngx_rf_disk_hand_read_thread, NULL, handler,
                            data);
    if (task == NULL) {
        return NULL;
    }

    task->job.hand = hand;

    return ngx_rf_disk_post(task);
}


ngx_rf_disk_job_t *
ngx_rf_disk_hand_done(ngx_rf_disk_t *disk, const char *name,
    ngx_rf_record_t *rest, ngx_rf_disk_pt handler, void *data)
{
    ngx_str_t            text;
    ngx_rf_disk_task_t  *task;

    text.data = (u_char *) name;
    text.len = ngx_strlen(name) + 1;

    task = ngx_rf_disk_task(disk, ngx_rf_disk_hand_done_thread, &text, handler,
                            data);
    if (task == NULL) {
        return NULL;
    }

    task->job.records = rest;

    return ngx_rf_disk_post(task);
}


void
ngx_rf_disk_log_close(ngx_rf_disk_t *disk, ngx_uint_t generation)
{
    if (disk->logging == NULL && disk->journal.generation != generation) {
        ngx_rf_journal_close(&disk->journal);
    }
}


ngx_int_t
ngx_rf_disk_log_now(ngx_rf_disk_t *disk, ngx_rf_journal_batch_t *batch,
    ngx_rf_file_error_t *error)
{
    return ngx_rf_journal_append_thread(&disk->journal, disk->conf, batch,
                                        error);
}


ngx_uint_t
ngx_rf_disk_logging(ngx_rf_disk_t *disk)
{
    return disk->logging != NULL;
}


ngx_uint_t
ngx_rf_disk_writing(ngx_rf_disk_t *disk)
{
    return disk->writing != NULL;
}


void
ngx_rf_disk_finish(ngx_rf_disk_t *disk)
{
    ngx_queue_t         *q;
    ngx_rf_disk_task_t  *task;

    while (!ngx_queue_empty(&disk->tasks)) {
        q = ngx_queue_head(&disk->tasks);
        task = ngx_queue_data(q, ngx_rf_disk_task_t, queue);
        ngx_rf_disk_home(&task->event);
    }
}


static ngx_rf_disk_task_t *
ngx_rf_disk_task(ngx_rf_disk_t *disk, ngx_rf_disk_run_pt run, ngx_str_t *text,
    ngx_rf_disk_pt handler, void *data)
{
    size_t               len;
    ngx_rf_disk_task_t  *task;

    len = text ? text->len : 0;

    task = ngx_calloc(sizeof(ngx_rf_disk_task_t) + len, disk->log);
    if (task == NULL) {
        return NULL;
    }

    if (len) {
        ngx_memcpy(task->text, text->data, len);
    }

    task->job.text.data = task->text;
    task->job.text.len = len;
    task->job.handler = handler;
    task->job.data = data;
    task->job.began = ngx_current_msec;
    task->disk = disk;
    task->conf = disk->conf;
    task->run = run;

    task->event.data = task;
    task->event.handler = ngx_rf_disk_home;
    task->event.log = disk->log;

    return task;
}


static ngx_rf_disk_job_t *
ngx_rf_disk_post(ngx_rf_disk_task_t *task)
{
#if (NGX_THREADS)

    ngx_rf_disk_t  *disk;

    disk = task->disk;

    if (disk->tp) {
        task->task.ctx = task;
        task->task.handler = ngx_rf_disk_run_thread;
        task->task.event.data = task;
        task->task.event.handler = ngx_rf_disk_home;
        task->task.event.log = disk->log;

        if (ngx_thread_task_post(disk->tp, &task->task) != NGX_OK) {
            ngx_free(task);
            return NULL;
        }

        ngx_rf_disk_under_way(task);

        return &task->job;
    }

#endif

    task->run(task);

    ngx_rf_disk_under_way(task);
    ngx_post_event(&task->event, &ngx_posted_events);

    return &task->job;
}


/* A worker that is told to exit goes when no timer is left; a request that
 * waits for a file has none of its own. */

static void
ngx_rf_disk_under_way(ngx_rf_disk_task_t *task)
{
    ngx_rf_disk_t  *disk;

    disk = task->disk;

    ngx_queue_insert_tail(&disk->tasks, &task->queue);

    if (!disk->hold.timer_set) {
        ngx_add_timer(&disk->hold, NGX_RF_DISK_HOLD);
    }
}


static void
ngx_rf_disk_hold(ngx_event_t *ev)
{
    ngx_rf_disk_t  *disk;

    disk = ev->data;

    if (!ngx_queue_empty(&disk->tasks)) {
        ngx_add_timer(ev, NGX_RF_DISK_HOLD);
    }
}


/* in the loop: hands the results to the owner */

static void
ngx_rf_disk_home(ngx_event_t *ev)
{
    ngx_rf_disk_t       *disk;
    ngx_rf_disk_task_t  *task;

    task = ev->data;

    disk = task->disk;

    ngx_queue_remove(&task->queue);

    if (task->event.posted) {
        ngx_delete_posted_event(&task->event);
    }

    if (disk->writing == task) {
        disk->writing = NULL;
    }

    if (disk->logging == task) {
        disk->logging = NULL;
    }

    if (task->job.handler) {
        task->job.handler(&task->job);
    }

    ngx_rf_disk_free(task);

    if (ngx_queue_empty(&disk->tasks) && disk->hold.timer_set) {
        ngx_del_timer(&disk->hold);
    }
}


static void
ngx_rf_disk_free(ngx_rf_disk_task_t *task)
{
    ngx_rf_record_t  *rec, *next;

    for (rec = task->job.records; rec; rec = next) {
        next = rec->next;
        ngx_rf_codec_free(rec);
    }

    for (rec = task->walk.records; rec; rec = next) {
        next = rec->next;
        ngx_rf_codec_free(rec);
    }

    ngx_free(task);
}


#if (NGX_THREADS)

static void
ngx_rf_disk_run_thread(void *data, ngx_log_t *log)
{
    ngx_rf_disk_task_t  *task = data;

    task->run(task);
}

#endif


static void
ngx_rf_disk_write_thread(ngx_rf_disk_task_t *task)
{
    ngx_rf_disk_job_t  *job;

    job = &task->job;

    job->failed = ngx_rf_file_write_thread(task->conf, job->records,
                                           &job->wrote, &job->removed,
                                           &job->error);
    job->rc = job->failed ? NGX_ERROR : NGX_OK;
}


static void
ngx_rf_disk_read_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_file_read_thread(task->conf, &task->job.text,
                                           task->job.mark, &task->job.records,
                                           &task->job.error);
}


static void
ngx_rf_disk_walk_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_file_walk_thread(task->conf, &task->walk);
}


static void
ngx_rf_disk_quarantine_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_file_quarantine_thread(task->conf,
                                                 task->job.records,
                                                 &task->job.text,
                                                 &task->job.error);

    if (task->job.rc == NGX_OK && task->job.records->remove) {
        (void) ngx_rf_file_write_thread(task->conf, task->job.records,
                                        &task->job.wrote, &task->job.removed,
                                        &task->job.error);
    }
}


static void
ngx_rf_disk_log_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_journal_append_thread(&task->disk->journal,
                                                task->conf, &task->job.batch,
                                                &task->job.error);
}


static void
ngx_rf_disk_base_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_journal_base_thread(&task->disk->journal,
                                              task->conf, &task->job.batch,
                                              &task->job.error);
}


static void
ngx_rf_disk_log_read_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_journal_read_thread(task->conf, task->job.read, 0);
}


static void
ngx_rf_disk_log_look_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_journal_files_thread(task->conf, task->job.read,
                                               &task->job.read->records);
}


static void
ngx_rf_disk_hand_read_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_journal_hand_read_thread(task->conf, task->job.hand,
                                                   0);
}


static void
ngx_rf_disk_hand_done_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_journal_hand_done_thread(task->conf,
                                             (char *) task->job.text.data,
                                             task->job.records,
                                             &task->job.error);
}


static void
ngx_rf_disk_mark_thread(ngx_rf_disk_task_t *task)
{
    task->job.rc = ngx_rf_file_mark_write_thread(task->conf, task->job.mark,
                                                 &task->job.error);
}
