"""StreamsGroupTopology, type 23 of `__consumer_offsets`: the shape of the streams application (KIP-1071)."""

from protocol_specs.grammar import Array, GroupId, Int16, Int32, Message, String, Struct

StreamsGroupTopologyKey = Message("StreamsGroupTopologyKey", key=23, versions="0", flexible="none")(
    "group_id" / GroupId,  # the group
)

TopicInfo = Struct("TopicInfo")(
    "name" / String,                                # the topic's name
    "partitions" / Int32,                           # number of partitions, 0 to leave it to the broker
    "replication_factor" / Int16,                   # replicas per partition, 0 for the broker's default
    "topic_configs" / Array(Struct("TopicConfig")(  # configs that the topic must have
        "key" / String,    # the config's name
        "value" / String,  # the config's value
    )),
)

StreamsGroupTopologyValue = Message("StreamsGroupTopologyValue", key=23, versions="0", flexible="0+")(
    "epoch" / Int32,                                # version of the topology, chosen by the application
    "subtopologies" / Array(Struct("Subtopology")(  # its parts
        "subtopology_id" / String,                                # the subtopology, unique in its topology
        "source_topics" / Array(String),                          # the topics it reads
        "source_topic_regex" / Array(String),                     # patterns of topics it reads
        "state_changelog_topics" / Array(TopicInfo),              # topics that back its state stores
        "repartition_sink_topics" / Array(String),                # repartition topics it writes
        "repartition_source_topics" / Array(TopicInfo),           # repartition topics it reads
        "copartition_groups" / Array(Struct("CopartitionGroup")(  # topics that must have equal partition counts
            "source_topics" / Array(Int16),              # places in the subtopology's source_topics
            "source_topic_regex" / Array(Int16),         # places in the subtopology's source_topic_regex
            "repartition_source_topics" / Array(Int16),  # places in the subtopology's repartition_source_topics
        )),
    )),
)
