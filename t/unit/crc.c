#include "rf_unit.h"
#include "ngx_rf_journal_parts.h"
#include <ngx_crc32.h>


RF_UNIT(crc_as_nginx)
{
    u_char      *data;
    uint32_t     seed;
    ngx_uint_t   i, from, len, bad;

    data = ngx_palloc(pool, 65536);

    for (seed = 1, i = 0; i < 65536; i++) {
        seed = seed * 1103515245 + 12345;
        data[i] = (u_char) (seed >> 16);
    }

    bad = 0;

    for (from = 0; from < 16; from++) {
        for (len = 0; len < 300; len++) {
            bad += ngx_rf_journal_crc(data + from, len)
                   != ngx_crc32_long(data + from, len);
        }
    }

    is_int(bad, 0, "each length at each alignment");

    is_int(ngx_rf_journal_crc(data, 65536), ngx_crc32_long(data, 65536),
           "a batch");
    is_int(ngx_rf_journal_crc((u_char *) "123456789", 9), 0xcbf43926,
           "the check value of CRC-32");
}
