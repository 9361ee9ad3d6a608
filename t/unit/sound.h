/*
 * Whether a zone is in order, outside of commands: lists, table, counters and
 * chains of changes agree, trees of collections and of their changes are
 * sorted and say one thing, and each block that the slab pool has given out is
 * one that something refers to.  With "counters", every delta of a string is a
 * counter that was absent before, and its changes add up to its value.  What
 * is wrong is printed.
 */

#ifndef _SOUND_H_INCLUDED_
#define _SOUND_H_INCLUDED_


#include "ngx_rf_zone.h"


ngx_uint_t sound_zone(ngx_rf_zone_t *zone, ngx_uint_t counters);


#endif /* _SOUND_H_INCLUDED_ */
