/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels 6.16 to 7.3, and nothing else. */
#ifndef SOFTNIC_COMPAT_H
#define SOFTNIC_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>
#include <net/netdev_queues.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
#error "softnic needs Linux 6.16 or newer"
#endif

/*
 * Since 7.0 the operations of a queue have an argument with its configuration,
 * and a memory provider may ask for buffers that are larger than a page.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define SN_HAVE_QUEUE_CONFIG
#define SN_QCFG_ARG		struct netdev_queue_config *qcfg,
#define SN_QCFG_PAGE_SIZE	(qcfg->rx_page_size)

static inline unsigned int sn_queue_page_size(struct net_device *dev, int idx)
{
	struct netdev_queue_config qcfg;

	netdev_queue_config(dev, idx, &qcfg);
	return qcfg.rx_page_size;
}
#else
#define SN_QCFG_ARG
#define SN_QCFG_PAGE_SIZE	PAGE_SIZE

static inline unsigned int sn_queue_page_size(struct net_device *dev, int idx)
{
	return PAGE_SIZE;
}
#endif

/* Since 6.19 the number of receive rings has an operation of its own. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define SN_HAVE_RX_RING_COUNT
#endif

#endif
