#define _GNU_SOURCE /* struct timespec, in the kernel's header */

#include "device.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/videodev2.h>

static const uint32_t NO_PICTURE = V4L2_IN_ST_NO_POWER | V4L2_IN_ST_NO_SIGNAL |
                                   V4L2_IN_ST_NO_H_LOCK | V4L2_IN_ST_NO_SYNC;

int dg_ioctl(int fd, unsigned long request, void *argument)
{
    int error;
    do
        error = ioctl(fd, request, argument) < 0 ? errno : 0;
    while (error == EINTR);
    return error;
}

enum dg_status dg_refused(struct dg_fault *fault, int error, const char *step)
{
    *fault = (struct dg_fault){.error = error, .step = step};
    return error ? DG_DEVICE : DG_OK;
}

/* A text of 32 bytes or fewer that may lack its final zero. */
static void copy_text(char *text, const void *from, size_t room)
{
    memcpy(text, from, room);
    text[room] = 0;
}

enum dg_status dg_camera_identify(int fd, struct dg_camera *camera, struct dg_fault *fault)
{
    struct v4l2_capability about = {0};
    const enum dg_status status =
        dg_refused(fault, dg_ioctl(fd, VIDIOC_QUERYCAP, &about), "VIDIOC_QUERYCAP");
    if (status != DG_OK)
        return status;
    const uint32_t can = about.capabilities & V4L2_CAP_DEVICE_CAPS ? about.device_caps
                                                                   : about.capabilities;
    if (!(can & V4L2_CAP_STREAMING) ||
        !(can & (V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE)))
        return dg_refused(fault, ENOTTY, "VIDIOC_QUERYCAP");
    *camera = (struct dg_camera){
        .fd = fd,
        .type = can & V4L2_CAP_VIDEO_CAPTURE ? V4L2_BUF_TYPE_VIDEO_CAPTURE
                                             : V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
    };
    copy_text(camera->driver, about.driver, sizeof about.driver);
    copy_text(camera->card, about.card, sizeof about.card);
    copy_text(camera->bus, about.bus_info, sizeof about.bus_info);
    return DG_OK;
}

static bool has_planes(const struct dg_camera *camera)
{
    return camera->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
}

static enum dg_status adopt_timings(int fd, struct dg_fault *fault)
{
    struct v4l2_dv_timings timings = {0};
    const enum dg_status status = dg_refused(fault, dg_ioctl(fd, VIDIOC_QUERY_DV_TIMINGS, &timings),
                                          "VIDIOC_QUERY_DV_TIMINGS");
    if (status != DG_OK)
        return status;
    return dg_refused(fault, dg_ioctl(fd, VIDIOC_S_DV_TIMINGS, &timings), "VIDIOC_S_DV_TIMINGS");
}

/* A device that has no notion of inputs is taken to have a picture. */
static enum dg_status check_input(int fd, struct dg_fault *fault)
{
    int current = 0;
    if (dg_ioctl(fd, VIDIOC_G_INPUT, &current) != 0)
        return DG_OK;
    struct v4l2_input input = {.index = (uint32_t)current};
    if (dg_ioctl(fd, VIDIOC_ENUMINPUT, &input) != 0)
        return DG_OK;
    if (input.capabilities & V4L2_IN_CAP_DV_TIMINGS)
        return adopt_timings(fd, fault);
    return dg_refused(fault, input.status & NO_PICTURE ? ENOLINK : 0, "VIDIOC_ENUMINPUT");
}

/* Both kinds of format begin with the same four fields. */
static void wish_format(struct v4l2_format *format, const struct dg_wish *wish, bool is_planar)
{
    struct v4l2_pix_format *const pix = &format->fmt.pix;
    const struct v4l2_pix_format before = *pix;
    pix->width = wish->width ? (uint32_t)wish->width : pix->width;
    pix->height = wish->height ? (uint32_t)wish->height : pix->height;
    pix->pixelformat = wish->fourcc ? wish->fourcc : pix->pixelformat;
    pix->field = V4L2_FIELD_NONE;
    if (pix->width == before.width && pix->pixelformat == before.pixelformat)
        return;
    if (is_planar) {
        memset(format->fmt.pix_mp.plane_fmt, 0, sizeof format->fmt.pix_mp.plane_fmt);
    } else {
        pix->bytesperline = 0; /* the driver's own choice for the new width */
        pix->sizeimage = 0;
    }
}

static enum dg_status mode_from(const struct v4l2_format *format, bool is_planar,
                                struct dg_mode *mode, struct dg_fault *fault)
{
    const struct v4l2_pix_format *const pix = &format->fmt.pix;
    const struct v4l2_pix_format_mplane *const planar = &format->fmt.pix_mp;
    const uint32_t stride = is_planar ? planar->plane_fmt[0].bytesperline : pix->bytesperline;
    const bool is_one = !is_planar || planar->num_planes == 1;
    if (!is_one || pix->width < 1 || pix->width > DG_SIDE_MAX || pix->height < 1 ||
        pix->height > DG_SIDE_MAX || stride > INT32_MAX)
        return dg_refused(fault, EPROTO, "VIDIOC_S_FMT");
    if (pix->field != V4L2_FIELD_NONE && pix->field != V4L2_FIELD_ANY)
        return dg_refused(fault, EMEDIUMTYPE, "VIDIOC_S_FMT");
    *mode = (struct dg_mode){
        .width = (int32_t)pix->width,
        .height = (int32_t)pix->height,
        .fourcc = pix->pixelformat,
        .stride = stride,
    };
    return DG_OK;
}

static double rate_of(const struct v4l2_fract *interval)
{
    return interval->numerator ? (double)interval->denominator / interval->numerator : 0;
}

/* A driver without rates is left alone, and one that has its own gives what it likes. */
static enum dg_status set_rate(const struct dg_camera *camera, double wanted, double *fps,
                               struct dg_fault *fault)
{
    struct v4l2_streamparm setting = {.type = camera->type};
    struct v4l2_captureparm *const capture = &setting.parm.capture;
    *fps = 0;
    if (dg_ioctl(camera->fd, VIDIOC_G_PARM, &setting) != 0)
        return DG_OK;
    if (wanted > 0 && capture->capability & V4L2_CAP_TIMEPERFRAME) {
        const double thousandths = fmin(fmax(wanted * 1000, 1), UINT32_MAX);
        capture->timeperframe =
            (struct v4l2_fract){.numerator = 1000, .denominator = (uint32_t)lround(thousandths)};
        const int error = dg_ioctl(camera->fd, VIDIOC_S_PARM, &setting);
        if (error)
            return dg_refused(fault, error, "VIDIOC_S_PARM");
    }
    *fps = rate_of(&capture->timeperframe);
    return DG_OK;
}

enum dg_status dg_camera_negotiate(const struct dg_camera *camera, const struct dg_wish *wish,
                                   struct dg_mode *mode, struct dg_fault *fault)
{
    struct v4l2_format format = {.type = camera->type};
    enum dg_status status = check_input(camera->fd, fault);
    if (status != DG_OK)
        return status;
    status = dg_refused(fault, dg_ioctl(camera->fd, VIDIOC_G_FMT, &format), "VIDIOC_G_FMT");
    if (status != DG_OK)
        return status;
    wish_format(&format, wish, has_planes(camera));
    status = dg_refused(fault, dg_ioctl(camera->fd, VIDIOC_S_FMT, &format), "VIDIOC_S_FMT");
    if (status != DG_OK)
        return status;
    status = mode_from(&format, has_planes(camera), mode, fault);
    if (status != DG_OK)
        return status;
    return set_rate(camera, wish->fps, &mode->fps, fault);
}

bool dg_camera_format(const struct dg_camera *camera, uint32_t index, struct dg_format_offer *offer)
{
    struct v4l2_fmtdesc found = {.index = index, .type = camera->type};
    if (dg_ioctl(camera->fd, VIDIOC_ENUM_FMT, &found) != 0)
        return false;
    offer->fourcc = found.pixelformat;
    copy_text(offer->text, found.description, sizeof found.description);
    return true;
}

bool dg_camera_size(const struct dg_camera *camera, uint32_t fourcc, uint32_t index,
                    struct dg_size_offer *offer)
{
    struct v4l2_frmsizeenum found = {.index = index, .pixel_format = fourcc};
    if (dg_ioctl(camera->fd, VIDIOC_ENUM_FRAMESIZES, &found) != 0)
        return false;
    if (found.type == V4L2_FRMSIZE_TYPE_DISCRETE) {
        const struct v4l2_frmsize_discrete *const size = &found.discrete;
        *offer = (struct dg_size_offer){size->width, size->height, size->width, size->height};
        return true;
    }
    const struct v4l2_frmsize_stepwise *const sizes = &found.stepwise;
    *offer = (struct dg_size_offer){sizes->min_width, sizes->min_height, sizes->max_width,
                                    sizes->max_height};
    return index == 0; /* one answer is for all */
}

bool dg_camera_rate(const struct dg_camera *camera, uint32_t fourcc, uint32_t width,
                    uint32_t height, uint32_t index, struct dg_rate_offer *offer)
{
    struct v4l2_frmivalenum found = {
        .index = index, .pixel_format = fourcc, .width = width, .height = height};
    if (dg_ioctl(camera->fd, VIDIOC_ENUM_FRAMEINTERVALS, &found) != 0)
        return false;
    if (found.type == V4L2_FRMIVAL_TYPE_DISCRETE) {
        offer->least = offer->most = rate_of(&found.discrete);
        return true;
    }
    offer->least = rate_of(&found.stepwise.max);
    offer->most = rate_of(&found.stepwise.min);
    return index == 0;
}

bool dg_camera_control(const struct dg_camera *camera, uint32_t id, struct dg_control_offer *offer)
{
    struct v4l2_query_ext_ctrl found = {.id = id | V4L2_CTRL_FLAG_NEXT_CTRL};
    if (dg_ioctl(camera->fd, VIDIOC_QUERY_EXT_CTRL, &found) != 0 || found.id <= id)
        return false;
    *offer = (struct dg_control_offer){
        .id = found.id,
        .kind = found.type,
        .flags = found.flags,
        .least = found.minimum,
        .most = found.maximum,
        .step = found.step > INT64_MAX ? INT64_MAX : (int64_t)found.step,
        .preset = found.default_value,
    };
    copy_text(offer->name, found.name, sizeof found.name);
    return true;
}

bool dg_camera_menu(const struct dg_camera *camera, const struct dg_control_offer *control,
                    uint32_t index, char text[33])
{
    struct v4l2_querymenu found = {.id = control->id, .index = index};
    if (dg_ioctl(camera->fd, VIDIOC_QUERYMENU, &found) != 0)
        return false;
    if (control->kind == V4L2_CTRL_TYPE_INTEGER_MENU)
        snprintf(text, 33, "%lld", (long long)found.value);
    else
        copy_text(text, found.name, sizeof found.name);
    return true;
}

enum dg_status dg_camera_read(const struct dg_camera *camera, uint32_t id, int32_t *value,
                              struct dg_fault *fault)
{
    struct v4l2_control control = {.id = id};
    const int error = dg_ioctl(camera->fd, VIDIOC_G_CTRL, &control);
    *value = control.value;
    return dg_refused(fault, error, "VIDIOC_G_CTRL");
}

enum dg_status dg_camera_write(const struct dg_camera *camera, uint32_t id, int32_t value,
                               struct dg_fault *fault)
{
    struct v4l2_control control = {.id = id, .value = value};
    return dg_refused(fault, dg_ioctl(camera->fd, VIDIOC_S_CTRL, &control), "VIDIOC_S_CTRL");
}
