#include <levin/framework/formats/pickle.h>

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::test::pickle_test {

using pickle::Graph;
using pickle::Kind;

Graph parse(std::string_view bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  return pickle::parse(std::as_bytes(std::span(exact)), "a.pkl");
}

/// A value as text, so that a test can compare whole pickles.
std::string show(const Graph& graph, uint32_t number) {
  const auto& node = graph[number];
  std::string items;
  for (const uint32_t item : node.items) items += show(graph, item) + " ";
  switch (node.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return node.integer != 0 ? "True" : "False";
    case Kind::integer:
      return node.text.empty() ? std::to_string(node.integer) : node.text;
    case Kind::real:
      return std::to_string(node.real);
    case Kind::text:
      return "'" + node.text + "'";
    case Kind::bytes:
      return "b'" + node.text + "'";
    case Kind::tuple:
      return "( " + items + ")";
    case Kind::list:
      return "[ " + items + "]";
    case Kind::set:
      return "set{ " + items + "}";
    case Kind::dict:
      return "{ " + items + "}";
    case Kind::global:
      return node.text;
    case Kind::call:
      return "call< " + items + ">";
    case Kind::persistent:
      return "kept< " + items + ">";
  }
  return "?";
}

std::string show(std::string_view bytes) {
  const Graph graph = parse(bytes);
  return show(graph, graph.root);
}

template <size_t N>
std::string_view raw(const char (&bytes)[N]) {
  return {bytes, N - 1};
}

// pickle.dumps(VALUE, PROTOCOL) of CPython 3.11 for
//   {"a": [1, -2, 300, 70000, 2**40, -2**70], "b": (None, True, 1.5), "s": {3}, "y": b"\x01"}
TEST(Pickle, ReadsWhatPythonWrites) {
  const std::string expected =
      "{ 'a' [ 1 -2 300 70000 1099511627776 0xc00000000000000000 ] 'b' ( None True 1.500000 ) ";
  EXPECT_EQ(
      show(raw("\x80\x04\x95R\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"
               "a\x94]\x94(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00"
               "\x01\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xc0"
               "e\x8c\x01"
               "b\x94N\x88G?\xf8\x00\x00\x00\x00\x00\x00\x87\x94\x8c\x01s\x94\x8f\x94(K\x03\x90"
               "\x8c\x01y\x94"
               "C\x01\x01\x94u.")),
      expected + "'s' set{ 3 } 'y' b'\x01' }");
  EXPECT_EQ(
      show(raw("\x80\x02}q\x00(X\x01\x00\x00\x00"
               "aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00"
               "\x00\x01\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\xc0"
               "eX\x01\x00\x00\x00"
               "bq\x03N\x88G?\xf8\x00\x00\x00\x00\x00\x00\x87q\x04u.")),
      expected + "}");
}

TEST(Pickle, NotesCallsByNameAndRunsNothing) {
  // The classic: os.system("touch x")
  EXPECT_EQ(show("\x80\x02"
                 "cos\nsystem\nX\x07" +
                 std::string(3, '\0') + "touch x\x85R."),
            "call< os.system ( 'touch x' ) >");
  EXPECT_EQ(show("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x07touch x\x85R."),
            "call< os.system ( 'touch x' ) >");
  const std::string ordered =
      "\x80\x02"
      "ccollections\nOrderedDict\n)R";
  EXPECT_EQ(show(ordered + "K\x01K\x02s."), "{ 1 2 }");
  // What BUILD adds, here a module's _metadata, is dropped.
  EXPECT_EQ(show(ordered + "K\x01K\x02s}X\x01" + std::string(3, '\0') + "mK\x03sb."), "{ 1 2 }");
}

TEST(Pickle, ReadsWhatItWrites) {
  pickle::Writer writer;
  writer.begin_ordered_dict();
  writer.text("numbers");
  writer.begin_list();
  for (const int64_t number : {int64_t{0}, int64_t{-1}, int64_t{1} << 40, INT64_MIN, INT64_MAX}) {
    writer.integer(number);
  }
  writer.end_list();
  writer.text("rest");
  writer.begin_tuple();
  writer.none();
  writer.boolean(false);
  writer.real(-0.25);
  writer.global("torch", "float32");
  writer.begin_tuple();
  writer.text("storage");
  writer.end_tuple();
  writer.persistent();
  writer.begin_dict();
  writer.end_dict();
  writer.end_tuple();
  writer.end_dict();
  EXPECT_EQ(show(std::move(writer).finish()),
            "{ 'numbers' [ 0 -1 1099511627776 -9223372036854775808 9223372036854775807 ] "
            "'rest' ( None False -0.250000 torch.float32 kept< ( 'storage' ) > { } ) }");
}

TEST(Pickle, SaysWhereAPickleIsWrong) {
  const auto message = [](std::string_view bytes) {
    return message_of<CheckpointError>([&] { parse(bytes); });
  };
  EXPECT_TRUE(says(message(""), {"'a.pkl'", "byte 0", "ends in the middle of a value"}));
  EXPECT_TRUE(says(message(raw("\x80\x02X\xff\xff\xff\xff")), {"ends in the middle of a value"}));
  EXPECT_TRUE(says(message("\x80\x02."), {"byte 3", "a value is missing"}));
  EXPECT_TRUE(says(message("\x80\x02(K\x01s."), {"a value is missing"}));
  EXPECT_TRUE(says(message("\x80\x02}K\x01"
                           "a."),
                   {"members are added to what has none"}));
  EXPECT_TRUE(says(message("\x80\x02}(K\x01u."), {"a key has no value"}));
  EXPECT_TRUE(says(message("\x80\x02u."), {"a mark is missing"}));
  EXPECT_TRUE(says(message("\x80\x02h\x05."), {"refers to a value that isn't there"}));
  EXPECT_TRUE(says(message("\x80\x02"
                           "I5\n."),
                   {"unknown opcode 0x49"}));
  EXPECT_TRUE(says(message("\x80\x02"
                           "cos\nsystem"),
                   {"ends in the middle of a name"}));
}

// A name is written once and made many times by three bytes each.
TEST(Pickle, ASmallFileCannotTakeMuchMemory) {
  std::string bytes = "\x80\x04\x8d" + std::string("\xe8\x03\0\0\0\0\0\0", 8);
  bytes += std::string(1000, 'm') + "\x94";
  for (int i = 0; i < 100'000; ++i) bytes += "h" + std::string(1, '\0') + "h" + '\0' + "\x93";
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { parse(bytes + "."); }),
                   {"repeats the names of classes too often"}));
}

TEST(Pickle, AnyBytesAreReadOrRefused) {
  std::mt19937 random(7);
  const std::string opcodes =
      "().012NJKM]}GXUTCBqrhjtldaesucRbQ\x80\x85\x86\x87\x88\x89\x8a\x8b"
      "\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x81";
  size_t read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = "\x80\x04";
    const size_t size = random() % 40;
    for (size_t i = 0; i < size; ++i) {
      const bool is_opcode = random() % 4 != 0;
      bytes += is_opcode ? opcodes[random() % opcodes.size()] : static_cast<char>(random() % 8);
    }
    try {
      parse(bytes + ".");
      ++read;
    } catch (const CheckpointError&) {
    }
  }
  EXPECT_GT(read, 50U);
}

}  // namespace levin::test::pickle_test
