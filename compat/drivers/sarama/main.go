// Driver for sarama as it speaks to Kafka 0.10.2: message format v1, Produce 2, Fetch 3.
package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/Shopify/sarama"
	"kbroker/compat/go_driver"
)

const clientModule = "github.com/Shopify/sarama"

// retriesMax lasts longer than any restart of a broker, at a tenth of a second each.
const retriesMax = 1000

type client struct {
	bootstrap string
	producers map[string]sarama.AsyncProducer
	members   map[string]*member
}

func main() {
	d := &client{producers: map[string]sarama.AsyncProducer{}, members: map[string]*member{}}
	driver.Serve(d.answer)
}

func (d *client) answer(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	switch asked.Do {
	case "hello":
		d.bootstrap = asked.Bootstrap
		return hello(), nil
	case "create_topic":
		detail := &sarama.TopicDetail{NumPartitions: asked.Partitions, ReplicationFactor: 1}
		return driver.Answer{}, d.admin(func(admin sarama.ClusterAdmin) error {
			return admin.CreateTopic(asked.Topic, detail, false)
		})
	case "delete_topic":
		return driver.Answer{}, d.admin(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(asked.Topic) })
	case "list_topics":
		return d.ask(func(one sarama.Client) (driver.Answer, error) {
			names, err := one.Topics()
			return driver.Answer{"topics": names}, err
		})
	case "describe_topic":
		return d.ask(func(one sarama.Client) (driver.Answer, error) {
			partitions, err := one.Partitions(asked.Topic)
			return driver.Answer{"partitions": len(partitions)}, err
		})
	case "produce":
		return d.produce(ctx, asked)
	case "close_producer":
		err := d.producers[asked.Producer].Close()
		delete(d.producers, asked.Producer)
		return driver.Answer{}, err
	case "consume":
		return d.ask(func(one sarama.Client) (driver.Answer, error) { return consume(ctx, one, asked) })
	case "watermarks":
		return d.ask(func(one sarama.Client) (driver.Answer, error) {
			first, err := one.GetOffset(asked.Topic, asked.Partition, sarama.OffsetOldest)
			end, problem := one.GetOffset(asked.Topic, asked.Partition, sarama.OffsetNewest)
			return driver.Answer{"beginning": first, "end": end}, driver.FirstError(err, problem)
		})
	case "commit":
		return d.offsets(asked, func(managed sarama.PartitionOffsetManager) driver.Answer {
			managed.MarkOffset(asked.Offset, "")
			return driver.Answer{}
		})
	case "committed":
		return d.offsets(asked, func(managed sarama.PartitionOffsetManager) driver.Answer {
			offset, _ := managed.NextOffset()
			return driver.Answer{"offset": orNil(offset)}
		})
	case "admin_committed":
		return d.adminCommitted(asked)
	case "group_read":
		return d.groupRead(ctx, asked)
	case "member_start":
		return driver.Answer{}, d.memberStart(asked)
	case "member_seen":
		return d.members[asked.Member].seen(), nil
	case "member_close":
		return d.memberClose(asked)
	}
	return nil, fmt.Errorf("unknown command %q", asked.Do)
}

func hello() driver.Answer {
	return driver.Answer{
		"version": driver.VersionOf(clientModule),
		"runtime": runtime.Version(),
		"cannot": driver.Answer{
			"headers":     "message format v1 has no headers",
			"idempotence": "Kafka 0.10.2 has no idempotent producer",
			"codec-zstd":  "Kafka 0.10.2 knows no zstd",
		},
		"wants": driver.Answer{
			"everything": []any{1, 3, "as to Kafka 0.10.2 this client speaks Fetch 3"},
			"admin":      []any{19, 0, "as to Kafka 0.10.2 this client speaks CreateTopics 0"},
		},
	}
}

func configured() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V0_10_2_0
	config.Metadata.RefreshFrequency = 2 * time.Second
	config.Metadata.Retry.Max = retriesMax
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.CommitInterval = 500 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	return config
}

func (d *client) admin(call func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin([]string{d.bootstrap}, configured())
	if err != nil {
		return err
	}
	defer admin.Close()
	return call(admin)
}

func (d *client) ask(call func(sarama.Client) (driver.Answer, error)) (driver.Answer, error) {
	one, err := sarama.NewClient([]string{d.bootstrap}, configured())
	if err != nil {
		return nil, err
	}
	defer one.Close()
	return call(one)
}

func (d *client) openProducer(asked driver.Request) (sarama.AsyncProducer, error) {
	config := configured()
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4,
	}[asked.Codec]
	config.Producer.RequiredAcks = map[string]sarama.RequiredAcks{
		"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll,
	}[fmt.Sprint(asked.Acks)]
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Producer.MaxMessageBytes = 4 << 20
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = retriesMax
	// Retries of several requests in flight would reorder records.
	config.Net.MaxOpenRequests = 1
	return sarama.NewAsyncProducer([]string{d.bootstrap}, config)
}

func (d *client) produce(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	producer := d.producers[asked.Producer]
	if producer == nil {
		var err error
		if producer, err = d.openProducer(asked); err != nil {
			return nil, err
		}
		d.producers[asked.Producer] = producer
	}
	go func() {
		for index, one := range asked.Records {
			producer.Input() <- outgoing(asked.Topic, one, index)
			time.Sleep(time.Duration(asked.PaceMs) * time.Millisecond)
		}
	}()
	offsets := make([]*int64, len(asked.Records))
	for range asked.Records {
		select {
		case sent := <-producer.Successes():
			if fmt.Sprint(asked.Acks) != "0" {
				offsets[sent.Metadata.(int)] = &sent.Offset
			}
		case failed := <-producer.Errors():
			return nil, failed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if asked.Producer == "" {
		delete(d.producers, "")
		return driver.Answer{"offsets": offsets}, producer.Close()
	}
	return driver.Answer{"offsets": offsets}, nil
}

func outgoing(topic string, one driver.Record, index int) *sarama.ProducerMessage {
	made := &sarama.ProducerMessage{Topic: topic, Metadata: index}
	if one.Key != nil {
		made.Key = sarama.ByteEncoder(*one.Key)
	}
	if one.Value != nil {
		made.Value = sarama.ByteEncoder(*one.Value)
	}
	if one.Partition != nil {
		made.Partition = *one.Partition
	}
	if one.Timestamp != nil {
		made.Timestamp = time.UnixMilli(*one.Timestamp)
	}
	return made
}

func incoming(one *sarama.ConsumerMessage) driver.Answer {
	return driver.Read(one.Partition, one.Offset, one.Timestamp, one.Key, one.Value, nil)
}

func consume(ctx context.Context, one sarama.Client, asked driver.Request) (driver.Answer, error) {
	start := int64(sarama.OffsetOldest)
	if from := asked.StartsFrom(); from.Offset != nil {
		start = *from.Offset
	} else if from.Time != nil {
		var err error
		if start, err = one.GetOffset(asked.Topic, asked.Partition, *from.Time); err != nil {
			return nil, err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(one)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	reading, err := consumer.ConsumePartition(asked.Topic, asked.Partition, start)
	if err != nil {
		return nil, err
	}
	defer reading.AsyncClose()
	records := []driver.Answer{}
	for len(records) < asked.Count {
		select {
		case message := <-reading.Messages():
			records = append(records, incoming(message))
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d records arrived", len(records), asked.Count)
		}
	}
	return driver.Answer{"records": records}, nil
}

func (d *client) offsets(
	asked driver.Request, call func(sarama.PartitionOffsetManager) driver.Answer,
) (driver.Answer, error) {
	return d.ask(func(one sarama.Client) (driver.Answer, error) {
		manager, err := sarama.NewOffsetManagerFromClient(asked.Group, one)
		if err != nil {
			return nil, err
		}
		managed, err := manager.ManagePartition(asked.Topic, asked.Partition)
		if err != nil {
			return nil, driver.FirstError(err, manager.Close())
		}
		found := call(managed)
		// The end of the manager commits what was marked.
		return found, driver.FirstError(managed.Close(), manager.Close())
	})
}

func (d *client) adminCommitted(asked driver.Request) (driver.Answer, error) {
	var offset int64
	err := d.admin(func(admin sarama.ClusterAdmin) error {
		found, err := admin.ListConsumerGroupOffsets(asked.Group, map[string][]int32{asked.Topic: {asked.Partition}})
		if err != nil {
			return err
		}
		offset = found.GetBlock(asked.Topic, asked.Partition).Offset
		return nil
	})
	return driver.Answer{"offset": orNil(offset)}, err
}

func orNil(offset int64) any {
	if offset < 0 {
		return nil
	}
	return offset
}

// member is a consumer of a group that reads in goroutines of its own, at most `count` records (none: all).
type member struct {
	topic      string
	count      int
	group      sarama.ConsumerGroup
	stop       context.CancelFunc
	lock       sync.Mutex
	assignment []int32
	records    []driver.Answer
	taken      int
	problem    error
	done       chan struct{}
}

func (d *client) join(ctx context.Context, asked driver.Request, count int) (*member, error) {
	group, err := sarama.NewConsumerGroup([]string{d.bootstrap}, asked.Group, configured())
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	m := &member{topic: asked.Topic, count: count, group: group, stop: stop, done: make(chan struct{})}
	go m.read(ctx)
	return m, nil
}

func (m *member) read(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		if err := m.group.Consume(ctx, []string{m.topic}, m); err != nil && ctx.Err() == nil {
			m.lock.Lock()
			m.problem = driver.FirstError(m.problem, err)
			m.lock.Unlock()
			return
		}
	}
}

// Setup, Cleanup and ConsumeClaim are what sarama calls when a generation begins, ends, and for each partition of it.
func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.own(session.Claims()[m.topic])
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.own(nil)
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		if !m.take(session, message) {
			m.stop()
			return nil
		}
	}
	return nil
}

func (m *member) own(partitions []int32) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.assignment = append([]int32{}, partitions...)
}

// take keeps a record and marks it for the next commit; it tells whether more are wanted.
func (m *member) take(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.count > 0 && m.taken == m.count {
		return false
	}
	m.records = append(m.records, incoming(message))
	m.taken++
	session.MarkMessage(message, "")
	return m.count == 0 || m.taken < m.count
}

func (m *member) seen() driver.Answer {
	m.lock.Lock()
	defer m.lock.Unlock()
	found := driver.Answer{"assignment": append([]int32{}, m.assignment...), "records": m.records, "error": nil}
	if m.records == nil {
		found["records"] = []driver.Answer{}
	}
	if m.problem != nil {
		found["error"] = m.problem.Error()
	}
	m.records = nil
	return found
}

func (d *client) groupRead(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	m, err := d.join(ctx, asked, asked.Count)
	if err != nil {
		return nil, err
	}
	<-m.done
	err = driver.FirstError(m.problem, m.group.Close())
	if m.taken < asked.Count {
		err = driver.FirstError(err, fmt.Errorf("%d of %d records arrived", m.taken, asked.Count))
	}
	return driver.Answer{"records": m.records}, err
}

func (d *client) memberStart(asked driver.Request) error {
	m, err := d.join(context.Background(), asked, 0)
	d.members[asked.Member] = m
	return err
}

func (d *client) memberClose(asked driver.Request) (driver.Answer, error) {
	m := d.members[asked.Member]
	delete(d.members, asked.Member)
	m.stop()
	<-m.done
	return m.seen(), m.group.Close()
}
