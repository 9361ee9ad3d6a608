/*
 * What instances without the path have left in it: nginx merges it with what
 * else is pending, key by key.
 */

#include "rf_files.h"


static void rf_files_handover_records(rf_files_db_t *db,
    ngx_rf_journal_hand_t *hand, rf_files_handler_pt handler, void *data);


void
rf_files_handover(rf_files_db_t *db, rf_files_handler_pt handler, void *data)
{
    ngx_int_t               rc;
    ngx_rf_journal_hand_t   hand;

    ngx_memzero(&hand, sizeof(ngx_rf_journal_hand_t));

    for ( ;; ) {
        rc = ngx_rf_journal_hand_read_thread(&db->conf, &hand, 1);

        if (rc == NGX_DONE) {
            return;
        }

        if (hand.error.what) {
            rf_files_error(db->run, &hand.error);
        }

        if (hand.unknown) {
            db->run->problem = 1;
            rf_files_say("%s/%lu/" NGX_RF_JOURNAL_HAND_DIR "/%s: %lu lines "
                         "hold no record of this version", db->run->path.data,
                         (unsigned long) db->conf.database, hand.name,
                         (unsigned long) hand.unknown);
        }

        if (hand.name[0] == '\0') {
            db->run->failed = 1;
            return;
        }

        db->counts.handovers++;
        db->counts.handovers_damaged += hand.damaged;

        if (rc == NGX_OK) {
            rf_files_handover_records(db, &hand, handler, data);

        } else if (hand.error.err != NGX_ENOENT) {
            db->run->failed = 1;
        }

        ngx_memcpy(hand.after, hand.name, NGX_RF_JOURNAL_HAND);
    }
}


static void
rf_files_handover_records(rf_files_db_t *db, ngx_rf_journal_hand_t *hand,
    rf_files_handler_pt handler, void *data)
{
    rf_files_key_t   *key;
    ngx_rf_record_t  *rec;

    db->counts.handed += hand->nrecords;

    while (hand->records) {
        rec = hand->records;
        hand->records = rec->next;

        key = rf_files_table_find(&db->table, &rec->key, 0);

        if (db->rc == NGX_OK
            && (rec->pending == NGX_RF_DELTA || key == NULL
                || key->version < rec->version))
        {
            db->rc = handler(db, rec, RF_FILES_IN_HANDOVER, data);
        }

        ngx_rf_codec_free(rec);
    }
}
