// SPDX-License-Identifier: GPL-2.0
/* The knobs and counters, /sys/kernel/debug/softnic; README.md describes them. */

#include <linux/debugfs.h>
#include <net/netdev_lock.h>
#include <net/netdev_rx_queue.h>

#include "softnic.h"

static struct dentry *sn_dir;

static int sn_registered_get(void *data, u64 *value)
{
	struct sn_port *port = data;

	*value = !!rcu_access_pointer(port->dev);
	return 0;
}

static int sn_registered_set(void *data, u64 value)
{
	struct sn_port *port = data;
	int err = 0;

	if (value > 1)
		return -EINVAL;
	mutex_lock(&sn_lock);
	if (value && !rcu_access_pointer(port->dev))
		err = sn_register(port);
	else if (!value && rcu_access_pointer(port->dev))
		sn_unregister(port);
	mutex_unlock(&sn_lock);
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_registered_fops, sn_registered_get,
			 sn_registered_set, "%llu\n");

static int sn_ifindex_get(void *data, u64 *value)
{
	struct sn_port *port = data;
	struct net_device *dev;

	rcu_read_lock();
	dev = rcu_dereference(port->dev);
	*value = dev ? READ_ONCE(dev->ifindex) : 0;
	rcu_read_unlock();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_ifindex_fops, sn_ifindex_get, NULL, "%llu\n");

static int sn_prefill_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct sn_port *)data)->prefill);
	return 0;
}

static int sn_prefill_set(void *data, u64 value)
{
	if (value > SN_MAX_RING)
		return -ERANGE;
	WRITE_ONCE(((struct sn_port *)data)->prefill, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_prefill_fops, sn_prefill_get, sn_prefill_set,
			 "%llu\n");

static int sn_frag_size_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct sn_port *)data)->frag_size);
	return 0;
}

static int sn_frag_size_set(void *data, u64 value)
{
	if (!value || value > U32_MAX)
		return -ERANGE;
	WRITE_ONCE(((struct sn_port *)data)->frag_size, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_frag_size_fops, sn_frag_size_get,
			 sn_frag_size_set, "%llu\n");

static int sn_hold_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct sn_queue *)data)->hold);
	return 0;
}

static int sn_hold_set(void *data, u64 value)
{
	if (value > 1)
		return -EINVAL;
	sn_wire_set_hold(data, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_hold_fops, sn_hold_get, sn_hold_set, "%llu\n");

static int sn_held_get(void *data, u64 *value)
{
	struct sn_queue *q = data;

	*value = skb_queue_len_lockless(&q->held) +
		 skb_queue_len_lockless(&q->reversed);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_held_fops, sn_held_get, NULL, "%llu\n");

static int sn_reverse_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct sn_queue *)data)->reverse_next);
	return 0;
}

static int sn_reverse_set(void *data, u64 value)
{
	if (value > SN_MAX_RING)
		return -ERANGE;
	sn_wire_set_reverse(data, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_reverse_fops, sn_reverse_get, sn_reverse_set,
			 "%llu\n");

static int sn_keep_last_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct sn_queue *)data)->keep_last);
	return 0;
}

static int sn_keep_last_set(void *data, u64 value)
{
	struct sn_queue *q = data;

	if (value > 1)
		return -EINVAL;
	WRITE_ONCE(q->keep_last, value);
	/* NAPI gives the reference back. */
	sn_wire_kick(q);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_keep_last_fops, sn_keep_last_get,
			 sn_keep_last_set, "%llu\n");

/* Whether a memory provider is bound to the queue. */
static int sn_bound_get(void *data, u64 *value)
{
	struct sn_queue *q = data;
	struct net_device *dev;

	rcu_read_lock();
	dev = rcu_dereference(q->port->dev);
	*value = dev &&
		 READ_ONCE(__netif_get_rx_queue(dev, q->idx)->mp_params.mp_ops);
	rcu_read_unlock();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_bound_fops, sn_bound_get, NULL, "%llu\n");

/* Back to how it was when the module was loaded, but for the counters. */
static int sn_reset_set(void *data, u64 value)
{
	struct sn_port *port = data;
	unsigned int i;

	WRITE_ONCE(port->prefill, 0);
	WRITE_ONCE(port->frag_size, PAGE_SIZE);
	sn_flow_clear(port);
	for (i = 0; i < sn_queues; i++) {
		struct sn_queue *q = &port->queue[i];

		sn_wire_reset(q);
		atomic_set(&q->drop_next, 0);
		atomic_set(&q->corrupt_next, 0);
		atomic_set(&q->frags_next, 0);
		atomic_set(&q->share_next, 0);
		atomic_set(&q->fail_alloc, 0);
		atomic_set(&q->fail_bound_alloc, 0);
		atomic_set(&q->fail_unbound_alloc, 0);
		atomic_set(&q->fail_start, 0);
		atomic_set(&q->fail_stop, 0);
		WRITE_ONCE(q->keep_last, false);
		sn_wire_kick(q);
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_reset_fops, NULL, sn_reset_set, "%llu\n");

/* As ethtool or a memory provider would: under the lock of the interface. */
static int sn_restart_set(void *data, u64 value)
{
	struct sn_queue *q = data;
	struct net_device *dev;
	int err = -ENODEV;

	mutex_lock(&sn_lock);
	dev = rcu_dereference_protected(q->port->dev,
					lockdep_is_held(&sn_lock));
	if (dev) {
		netdev_lock(dev);
		err = netdev_rx_queue_restart(dev, q->idx);
		netdev_unlock(dev);
	}
	mutex_unlock(&sn_lock);
	return err;
}
DEFINE_DEBUGFS_ATTRIBUTE(sn_restart_fops, NULL, sn_restart_set, "%llu\n");

static void sn_debugfs_queue(struct sn_queue *q, struct dentry *dir)
{
	unsigned int i;

	for (i = 0; i < SN_COUNTERS; i++)
		debugfs_create_u64(sn_counter_names[i], 0444, dir,
				   &q->counters[i]);
	debugfs_create_file("bound", 0444, dir, q, &sn_bound_fops);
	debugfs_create_file("hold", 0644, dir, q, &sn_hold_fops);
	debugfs_create_file("held", 0444, dir, q, &sn_held_fops);
	debugfs_create_file("reverse_next", 0644, dir, q, &sn_reverse_fops);
	debugfs_create_file("keep_last", 0644, dir, q, &sn_keep_last_fops);
	debugfs_create_file("restart", 0200, dir, q, &sn_restart_fops);
	debugfs_create_atomic_t("drop_next", 0644, dir, &q->drop_next);
	debugfs_create_atomic_t("corrupt_next", 0644, dir, &q->corrupt_next);
	debugfs_create_atomic_t("frags_next", 0644, dir, &q->frags_next);
	debugfs_create_atomic_t("share_next", 0644, dir, &q->share_next);
	debugfs_create_atomic_t("fail_alloc", 0644, dir, &q->fail_alloc);
	debugfs_create_atomic_t("fail_bound_alloc", 0644, dir,
				&q->fail_bound_alloc);
	debugfs_create_atomic_t("fail_unbound_alloc", 0644, dir,
				&q->fail_unbound_alloc);
	debugfs_create_atomic_t("fail_start", 0644, dir, &q->fail_start);
	debugfs_create_atomic_t("fail_stop", 0644, dir, &q->fail_stop);
}

static void sn_debugfs_port(struct sn_port *port)
{
	struct dentry *dir, *queues;
	unsigned int i;
	char name[12];

	snprintf(name, sizeof(name), "%u", port->nr);
	dir = debugfs_create_dir(name, sn_dir);
	debugfs_create_file("registered", 0644, dir, port, &sn_registered_fops);
	debugfs_create_file("ifindex", 0444, dir, port, &sn_ifindex_fops);
	debugfs_create_file("prefill", 0644, dir, port, &sn_prefill_fops);
	debugfs_create_file("frag_size", 0644, dir, port, &sn_frag_size_fops);
	debugfs_create_file("reset", 0200, dir, port, &sn_reset_fops);
	queues = debugfs_create_dir("queues", dir);
	for (i = 0; i < sn_queues; i++) {
		snprintf(name, sizeof(name), "%u", i);
		sn_debugfs_queue(&port->queue[i],
				 debugfs_create_dir(name, queues));
	}
}

void sn_debugfs_create(void)
{
	unsigned int i;

	sn_dir = debugfs_create_dir(SN_NAME, NULL);
	for (i = 0; i < SN_PORTS; i++)
		sn_debugfs_port(&sn_ports[i]);
}

/* Returns when nobody uses a file any more. */
void sn_debugfs_remove(void)
{
	debugfs_remove(sn_dir);
}
