#ifndef DG_DEVICE_H
#define DG_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/*
 * What a V4L2 device is, offers and agrees to. Nothing here keeps memory; the caller owns every
 * struct and the file descriptor, which is open for reading and writing. Any thread may call.
 * Where DG_DEVICE is returned, `fault` says what the kernel or the driver did.
 */

struct dg_fault {
    int error;        /* an errno; ENOLINK, ENOLCK: no signal; EMEDIUMTYPE: interlaced pictures;
                         EPROTO: an answer that cannot be */
    const char *step; /* the call that it came from; a literal */
};

/* Texts end with a zero, whatever the driver wrote. */
struct dg_camera {
    int fd;
    uint32_t type; /* enum v4l2_buf_type: capture, or capture with planes */
    char driver[17], card[33], bus[33];
};

/* What is asked for; 0 leaves a field as the driver is set to. */
struct dg_wish {
    int32_t width, height;
    uint32_t fourcc;
    double fps;
};

/* What was agreed on: `width` and `height` are 1 to DG_SIDE_MAX. */
struct dg_mode {
    int32_t width, height;
    uint32_t fourcc;
    uint32_t stride; /* bytes from one row to the next; 0 where the driver does not say */
    double fps;      /* 0 where the driver does not say */
};

struct dg_format_offer {
    uint32_t fourcc;
    char text[33];
};

/* One size, or every size between two. */
struct dg_size_offer {
    uint32_t least_width, least_height, most_width, most_height;
};

/* One rate, or every rate between two, in frames a second. */
struct dg_rate_offer {
    double least, most;
};

struct dg_control_offer {
    uint32_t id, kind, flags; /* enum v4l2_ctrl_type, V4L2_CTRL_FLAG_* */
    int64_t least, most, step, preset;
    char name[33];
};

/* DG_DEVICE with ENOTTY: no V4L2 device that streams frames in from one plane. */
enum dg_status dg_camera_identify(int fd, struct dg_camera *camera, struct dg_fault *fault);

/* Takes over the timings of a video signal, where the input has such, and sets format and rate. */
enum dg_status dg_camera_negotiate(const struct dg_camera *camera, const struct dg_wish *wish,
                                   struct dg_mode *mode, struct dg_fault *fault);

/* True, and the offer, as long as the driver has one of that index. */
bool dg_camera_format(const struct dg_camera *camera, uint32_t index,
                      struct dg_format_offer *offer);
bool dg_camera_size(const struct dg_camera *camera, uint32_t fourcc, uint32_t index,
                    struct dg_size_offer *offer);
bool dg_camera_rate(const struct dg_camera *camera, uint32_t fourcc, uint32_t width,
                    uint32_t height, uint32_t index, struct dg_rate_offer *offer);

/* True, and the control with the next higher number than `id`, as long as there is one. */
bool dg_camera_control(const struct dg_camera *camera, uint32_t id,
                       struct dg_control_offer *offer);

/* True, and what a menu's item says, where the menu has that item. */
bool dg_camera_menu(const struct dg_camera *camera, const struct dg_control_offer *control,
                    uint32_t index, char text[33]);

enum dg_status dg_camera_read(const struct dg_camera *camera, uint32_t id, int32_t *value,
                              struct dg_fault *fault);
enum dg_status dg_camera_write(const struct dg_camera *camera, uint32_t id, int32_t value,
                               struct dg_fault *fault);

/* ioctl, again where a signal came in between: 0 or an errno. */
int dg_ioctl(int fd, unsigned long request, void *argument);

/* Notes what a call came to in `fault`: DG_OK where `error` is 0. */
enum dg_status dg_refused(struct dg_fault *fault, int error, const char *step);

#endif
