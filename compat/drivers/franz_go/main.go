// Driver for franz-go; the vocabulary is described in compat/README.md.
package main

import (
	"context"
	"fmt"
	"runtime"
	"sort"
	"sync"
	"time"

	"kbroker/compat/go_driver"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const clientModule = "github.com/twmb/franz-go"

// client keeps the producers and members that live longer than a command.
type client struct {
	bootstrap string
	producers map[string]*kgo.Client
	members   map[string]*member
}

func main() {
	d := &client{producers: map[string]*kgo.Client{}, members: map[string]*member{}}
	driver.Serve(d.answer)
}

func (d *client) answer(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	switch asked.Do {
	case "hello":
		d.bootstrap = asked.Bootstrap
		return driver.Answer{"version": driver.VersionOf(clientModule), "runtime": runtime.Version(), "cannot": driver.Answer{}}, nil
	case "create_topic":
		_, err := d.admin(func(admin *kadm.Client) (any, error) {
			made, err := admin.CreateTopic(ctx, asked.Partitions, 1, nil, asked.Topic)
			return made, driver.FirstError(err, made.Err)
		})
		return driver.Answer{}, err
	case "delete_topic":
		_, err := d.admin(func(admin *kadm.Client) (any, error) {
			gone, err := admin.DeleteTopic(ctx, asked.Topic)
			return gone, driver.FirstError(err, gone.Err)
		})
		return driver.Answer{}, err
	case "list_topics":
		names, err := d.admin(func(admin *kadm.Client) (any, error) {
			found, err := admin.ListTopics(ctx)
			return found.Names(), err
		})
		return driver.Answer{"topics": names}, err
	case "describe_topic":
		count, err := d.admin(func(admin *kadm.Client) (any, error) {
			found, err := admin.ListTopics(ctx, asked.Topic)
			return len(found[asked.Topic].Partitions), driver.FirstError(err, found[asked.Topic].Err)
		})
		return driver.Answer{"partitions": count}, err
	case "produce":
		return d.produce(ctx, asked)
	case "close_producer":
		d.producers[asked.Producer].Close()
		delete(d.producers, asked.Producer)
		return driver.Answer{}, nil
	case "consume":
		return d.consume(ctx, asked)
	case "watermarks":
		return d.watermarks(ctx, asked)
	case "commit":
		return driver.Answer{}, d.commit(ctx, asked)
	case "committed", "admin_committed":
		return d.committed(ctx, asked)
	case "group_read":
		return d.groupRead(ctx, asked)
	case "member_start":
		return d.memberStart(asked)
	case "member_seen":
		return d.members[asked.Member].seen(), nil
	case "member_close":
		return d.memberClose(asked)
	}
	return nil, fmt.Errorf("unknown command %q", asked.Do)
}

func (d *client) open(options ...kgo.Opt) (*kgo.Client, error) {
	// The client spaces metadata requests out by 5 s otherwise, which a topic made a moment ago would wait for.
	options = append(options, kgo.SeedBrokers(d.bootstrap), kgo.MetadataMinAge(200*time.Millisecond),
		kgo.MetadataMaxAge(2*time.Second))
	return kgo.NewClient(options...)
}

func (d *client) admin(call func(*kadm.Client) (any, error)) (any, error) {
	client, err := d.open()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return call(kadm.NewClient(client))
}

func (d *client) openProducer(asked driver.Request) (*kgo.Client, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	options := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[asked.Codec]), kgo.RequiredAcks(acks[fmt.Sprint(asked.Acks)]),
		kgo.ProducerLinger(5 * time.Millisecond), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(chosenPartitioner{}),
	}
	if !asked.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	return d.open(options...)
}

// chosenPartitioner honours the record's partition; a negative one leaves the choice to the client.
type chosenPartitioner struct{}

func (chosenPartitioner) ForTopic(string) kgo.TopicPartitioner { return chosenTopicPartitioner{} }

type chosenTopicPartitioner struct{}

func (chosenTopicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }
func (chosenTopicPartitioner) Partition(r *kgo.Record, _ int) int   { return int(max(0, r.Partition)) }

func (d *client) produce(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	client := d.producers[asked.Producer]
	if client == nil {
		var err error
		if client, err = d.openProducer(asked); err != nil {
			return nil, err
		}
		d.producers[asked.Producer] = client
	}
	offsets := make([]*int64, len(asked.Records))
	var firstProblem error
	var lock sync.Mutex
	var waiting sync.WaitGroup
	for index, one := range asked.Records {
		waiting.Add(1)
		client.Produce(ctx, incoming(asked.Topic, one), func(sent *kgo.Record, err error) {
			defer waiting.Done()
			lock.Lock()
			defer lock.Unlock()
			firstProblem = driver.FirstError(firstProblem, err)
			if err == nil && fmt.Sprint(asked.Acks) != "0" {
				offsets[index] = &sent.Offset
			}
		})
		time.Sleep(time.Duration(asked.PaceMs) * time.Millisecond)
	}
	waiting.Wait()
	if asked.Producer == "" {
		client.Close()
		delete(d.producers, "")
	}
	return driver.Answer{"offsets": offsets}, firstProblem
}

func (d *client) consume(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	start := kgo.NewOffset().AtStart()
	if from := asked.StartsFrom(); from.Offset != nil {
		start = kgo.NewOffset().At(*from.Offset)
	} else if from.Time != nil {
		start = kgo.NewOffset().AfterMilli(*from.Time)
	}
	client, err := d.open(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{asked.Topic: {asked.Partition: start}}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found, err := collect(ctx, client, asked.Count)
	return driver.Answer{"records": outgoing(found)}, err
}

func (d *client) watermarks(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	found, err := d.admin(func(admin *kadm.Client) (any, error) {
		first, err := admin.ListStartOffsets(ctx, asked.Topic)
		if err != nil {
			return nil, err
		}
		end, err := admin.ListEndOffsets(ctx, asked.Topic)
		beginning, _ := first.Lookup(asked.Topic, asked.Partition)
		last, _ := end.Lookup(asked.Topic, asked.Partition)
		return driver.Answer{"beginning": beginning.Offset, "end": last.Offset}, driver.FirstError(err, beginning.Err, last.Err)
	})
	if err != nil {
		return nil, err
	}
	return found.(driver.Answer), nil
}

func (d *client) commit(ctx context.Context, asked driver.Request) error {
	_, err := d.admin(func(admin *kadm.Client) (any, error) {
		offsets := kadm.Offsets{}
		offsets.AddOffset(asked.Topic, asked.Partition, asked.Offset, -1)
		return nil, admin.CommitAllOffsets(ctx, asked.Group, offsets)
	})
	return err
}

func (d *client) committed(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	found, err := d.admin(func(admin *kadm.Client) (any, error) {
		offsets, err := admin.FetchOffsets(ctx, asked.Group)
		if entry, ok := offsets.Lookup(asked.Topic, asked.Partition); ok && entry.At >= 0 {
			return entry.At, driver.FirstError(err, entry.Err)
		}
		return nil, err
	})
	return driver.Answer{"offset": found}, err
}

func (d *client) openMember(asked driver.Request, options ...kgo.Opt) (*kgo.Client, error) {
	return d.open(append(options, kgo.ConsumerGroup(asked.Group), kgo.ConsumeTopics(asked.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond))...)
}

func (d *client) groupRead(ctx context.Context, asked driver.Request) (driver.Answer, error) {
	client, err := d.openMember(asked, kgo.DisableAutoCommit())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	found, err := collect(ctx, client, asked.Count)
	if err != nil {
		return nil, err
	}
	return driver.Answer{"records": outgoing(found)}, client.CommitRecords(ctx, found...)
}

// member is a group's client that is polled by a goroutine of its own.
type member struct {
	client     *kgo.Client
	lock       sync.Mutex
	assignment map[int32]bool
	records    []*kgo.Record
	problem    error
	done       chan struct{}
}

func (d *client) memberStart(asked driver.Request) (driver.Answer, error) {
	m := &member{assignment: map[int32]bool{}, done: make(chan struct{})}
	owns := func(held bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, moved map[string][]int32) { m.own(moved[asked.Topic], held) }
	}
	client, err := d.openMember(asked, kgo.AutoCommitInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(owns(true)), kgo.OnPartitionsRevoked(owns(false)), kgo.OnPartitionsLost(owns(false)))
	if err != nil {
		return nil, err
	}
	m.client = client
	d.members[asked.Member] = m
	go m.poll()
	return driver.Answer{}, nil
}

func (m *member) own(partitions []int32, held bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, partition := range partitions {
		if held {
			m.assignment[partition] = true
		} else {
			delete(m.assignment, partition)
		}
	}
}

func (m *member) poll() {
	defer close(m.done)
	for {
		fetches := m.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		m.lock.Lock()
		m.records = append(m.records, fetches.Records()...)
		m.problem = driver.FirstError(m.problem, fetches.Err())
		m.lock.Unlock()
	}
}

func (m *member) seen() driver.Answer {
	m.lock.Lock()
	defer m.lock.Unlock()
	owned := []int32{}
	for partition := range m.assignment {
		owned = append(owned, partition)
	}
	sort.Slice(owned, func(i, j int) bool { return owned[i] < owned[j] })
	found := driver.Answer{"assignment": owned, "records": outgoing(m.records), "error": nil}
	if m.problem != nil {
		found["error"] = m.problem.Error()
	}
	m.records = nil
	return found
}

func (d *client) memberClose(asked driver.Request) (driver.Answer, error) {
	m := d.members[asked.Member]
	delete(d.members, asked.Member)
	m.client.Close()
	<-m.done
	return m.seen(), nil
}

func collect(ctx context.Context, client *kgo.Client, count int) ([]*kgo.Record, error) {
	var found []*kgo.Record
	for len(found) < count {
		fetches := client.PollRecords(ctx, count-len(found))
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d records arrived", len(found), count)
		}
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		found = append(found, fetches.Records()...)
	}
	return found, nil
}

func incoming(topic string, one driver.Record) *kgo.Record {
	made := &kgo.Record{Topic: topic, Partition: -1, Key: driver.BytesOf(one.Key), Value: driver.BytesOf(one.Value)}
	if one.Partition != nil {
		made.Partition = *one.Partition
	}
	if one.Timestamp != nil {
		made.Timestamp = time.UnixMilli(*one.Timestamp)
	}
	for _, header := range one.Pairs() {
		made.Headers = append(made.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
	}
	return made
}

func outgoing(found []*kgo.Record) []driver.Answer {
	records := []driver.Answer{}
	for _, one := range found {
		headers := []driver.Header{}
		for _, header := range one.Headers {
			headers = append(headers, driver.Header{Name: header.Key, Value: header.Value})
		}
		records = append(records, driver.Read(one.Partition, one.Offset, one.Timestamp, one.Key, one.Value, headers))
	}
	return records
}
