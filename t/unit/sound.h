/*
 * Whether a zone is in order: lists, table, counters and chains of changes
 * agree.  With "counters", every delta is a counter that was absent before,
 * and its changes add up to its value.  What is wrong is printed.
 */

#ifndef _SOUND_H_INCLUDED_
#define _SOUND_H_INCLUDED_


#include "ngx_rf_zone.h"


ngx_uint_t sound_zone(ngx_rf_zone_t *zone, ngx_uint_t counters);


#endif /* _SOUND_H_INCLUDED_ */
