#ifndef DG_STATUS_H
#define DG_STATUS_H

/* What a dg_ function returns: DG_OK, or the first thing that was wrong; then it wrote nothing. */
enum dg_status {
    DG_OK = 0,
    DG_NO_MEMORY,
    DG_BAD_FORMAT,    /* not one of enum dg_format */
    DG_BAD_FRAME,     /* a side outside 1 to DG_SIDE_MAX, or not a multiple that its format wants */
    DG_BAD_TURN,      /* quarters outside 0 to 3 */
    DG_BAD_OUT,       /* a side outside 1 to DG_SIDE_MAX, or channels other than 1 and 3 */
    DG_BAD_REGION,    /* empty, or not inside the frame */
    DG_BAD_TARGET,    /* empty, or not inside the output */
    DG_BAD_SHRINK,    /* a region more than DG_SHRINK_MAX times as long as its target */
    DG_BAD_MASK,      /* a side outside 1 to DG_SIDE_MAX */
    DG_BAD_THRESHOLD, /* outside 1 to 255 */
    DG_BAD_AREA,      /* a minimum area that is negative or not finite */
    DG_BAD_SCALE,     /* frame pixels per mask pixel that are not positive and finite */
    DG_DEVICE         /* a camera: its driver refused, or is gone; struct dg_fault says more */
};

/* No side of a frame, an output or a mask is longer; it keeps every sum inside 64 bits. */
#define DG_SIDE_MAX 1048576

#endif
