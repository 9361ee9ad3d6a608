/*
 * Whether the collections of a zone are in order: each tree is one, of memory
 * that is allocated, its elements are sorted and say what they are.
 */

#ifndef _ZONE_CHECK_H_INCLUDED_
#define _ZONE_CHECK_H_INCLUDED_


#include "ngx_rf_zone.h"


/* does not return if they are not */
void zone_check(ngx_rf_zone_t *zone);


#endif /* _ZONE_CHECK_H_INCLUDED_ */
