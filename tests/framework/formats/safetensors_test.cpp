#include <levin/framework/formats/safetensors.h>

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/peak_memory.h"

namespace levin::safetensors_test {

namespace st = safetensors;
using test::message_of;
using test::says;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// A file with that JSON and as many bytes of data.
std::string file_of(const std::string& json, size_t data) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>((json.size() >> (8 * i)) & 0xff);
  return text + json + std::string(data, '\x5a');
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

/// A small file of several types, metadata and an empty tensor.
std::string sample() {
  st::Header header;
  header.metadata = {{"format", "pt"}, {"note", "\"quoted\" \xc3\xa4"}};
  header.entries = {
      {"w", "F64", {2, 2}}, {"none", "F32", {0, 3}}, {"half", "F16", {3}}, {"flag", "BOOL", {}}};
  const std::string head = st::build_header(header);
  std::string data;
  for (int i = 0; i < 32 + 0 + 6 + 1; ++i) data += static_cast<char>(i * 7);
  return head + data;
}

/// What the description of the format promises about a file that was taken.
void expect_consistent(const st::File& file, std::span<const std::byte> bytes) {
  ASSERT_GE(file.data.data(), bytes.data());
  ASSERT_EQ(file.data.data() + file.data.size(), bytes.data() + bytes.size());
  uint64_t expected = 0;
  for (const auto& each : file.header.entries) {
    ASSERT_EQ(each.begin, expected);
    ASSERT_LE(each.end, file.data.size());
    int64_t elements = 1;
    for (const int64_t extent : each.shape) {
      ASSERT_GE(extent, 0);
      elements *= extent;
    }
    ASSERT_GT(st::element_size(each.dtype), 0U);
    ASSERT_EQ(each.end - each.begin,
              static_cast<uint64_t>(elements) * st::element_size(each.dtype));
    expected = each.end;
  }
  ASSERT_EQ(expected, file.data.size());
}

/// Parses from memory of exactly that size, where a sanitizer sees a read beyond it.
bool is_taken(const std::string& text) {
  const std::vector<char> exact(text.begin(), text.end());
  const auto bytes = std::as_bytes(std::span(exact));
  try {
    expect_consistent(st::parse(bytes, "test"), bytes);
    return true;
  } catch (const CheckpointError&) {
    return false;
  }
}

std::string refusal(const std::string& text) {
  return message_of<CheckpointError>([&] { st::parse(bytes_of(text), "some/file"); });
}

TEST(SafetensorsFormat, what_is_built_is_parsed_the_same) {
  const std::string text = sample();
  const auto file = st::parse(bytes_of(text), "test");
  expect_consistent(file, bytes_of(text));
  EXPECT_EQ(file.header.metadata.at("note"), "\"quoted\" \xc3\xa4");
  EXPECT_EQ(file.header.metadata.size(), 2U);
  ASSERT_EQ(file.header.entries.size(), 4U);
  EXPECT_EQ(file.header.entries[0].name, "w");
  EXPECT_EQ(file.header.entries[0].shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(file.header.entries[1].name, "none");
  EXPECT_EQ(file.header.entries[3].dtype, "BOOL");
  EXPECT_TRUE(file.header.entries[3].shape.empty());
}

TEST(SafetensorsFormat, data_starts_at_a_multiple_of_eight) {
  for (size_t length = 1; length < 20; ++length) {
    st::Header header;
    header.entries = {{std::string(length, 'x'), "U8", {1}}};
    EXPECT_EQ(st::build_header(header).size() % 8, 0U);
  }
}

TEST(SafetensorsFormat, a_file_without_tensors_is_one) {
  st::Header header;
  EXPECT_TRUE(is_taken(st::build_header(header)));
  EXPECT_TRUE(is_taken(file_of("{}", 0)));
  EXPECT_FALSE(is_taken(file_of("{}", 1)));
}

TEST(SafetensorsFormat, knows_the_sizes_of_elements) {
  for (const auto& [name, size] : std::map<std::string, uint64_t>{{"F64", 8},
                                                                  {"I64", 8},
                                                                  {"U64", 8},
                                                                  {"F32", 4},
                                                                  {"I32", 4},
                                                                  {"U32", 4},
                                                                  {"F16", 2},
                                                                  {"BF16", 2},
                                                                  {"I16", 2},
                                                                  {"U16", 2},
                                                                  {"I8", 1},
                                                                  {"U8", 1},
                                                                  {"BOOL", 1},
                                                                  {"F4", 0},
                                                                  {"", 0},
                                                                  {"f32", 0}}) {
    EXPECT_EQ(st::element_size(name), size) << name;
  }
}

TEST(SafetensorsFormat, refuses_to_build_what_could_not_be_read) {
  const auto build = [](const std::string& name) {
    return message_of<CheckpointError>([&] {
      st::Header header;
      header.entries = {{"a", "U8", {1}}, {name, "U8", {1}}};
      st::build_header(header);
    });
  };
  EXPECT_TRUE(says(build("a"), {"two tensors", "the name 'a'"}));
  EXPECT_TRUE(says(build("__metadata__"), {"'__metadata__'", "format itself"}));
  EXPECT_TRUE(says(build("\xff"), {"UTF-8"}));
}

TEST(SafetensorsDamage, truncation_at_every_length_is_an_error) {
  const std::string whole = sample();
  ASSERT_TRUE(is_taken(whole));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(is_taken(whole.substr(0, size))) << size << " of " << whole.size();
  }
  EXPECT_FALSE(is_taken(whole + "x"));
}

TEST(SafetensorsDamage, any_byte_changed_is_an_error_or_a_consistent_file) {
  const std::string whole = sample();
  size_t refused = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string others = std::string("{}[]\",:-.019eE \\\0\xff", 18);
    for (int bit = 0; bit < 8; ++bit) others += static_cast<char>(whole[i] ^ (1 << bit));
    for (const char other : others) {
      std::string text = whole;
      text[i] = other;
      refused += is_taken(text) ? 0U : 1U;
    }
  }
  EXPECT_GT(refused, whole.size());  // every number, quote and brace that was changed
}

TEST(SafetensorsDamage, random_bytes_are_an_error_or_a_consistent_file) {
  std::mt19937_64 random(1);
  const std::string alphabet = "{}[]\",:0123456789 dtypeshapeF32_offsets\xff\\";
  for (int i = 0; i < 3000; ++i) {
    std::string json = "{";
    for (auto left = random() % 40; left > 0; --left) json += alphabet[random() % alphabet.size()];
    is_taken(file_of(json, random() % 9));
    is_taken(json);
  }
}

TEST(SafetensorsDamage, says_which_file_and_what_is_wrong) {
  EXPECT_TRUE(says(refusal(""), {"some/file", "0 bytes"}));
  EXPECT_TRUE(says(refusal("12345678"), {"some/file", "longer than the file"}));
  EXPECT_TRUE(says(refusal(file_of("not json", 0)), {"some/file", "can't be read"}));
  const std::string ten = "{" + entry("w", "F32", "[4]", "[0,10]") + "}";
  EXPECT_TRUE(
      says(refusal(file_of(ten, 10)), {"'w' has 10 bytes, but its type and shape need 16"}));
  const std::string all = "{" + entry("w", "F32", "[4]", "[0,16]") + "}";
  EXPECT_TRUE(says(refusal(file_of(all, 12)),
                   {"the file has 12 bytes of data, but its header describes 16"}));
}

TEST(SafetensorsDamage, a_header_of_more_than_100_mb_is_neither_read_nor_written) {
  constexpr size_t kMost = 100'000'000;
  EXPECT_TRUE(says(refusal(file_of(std::string(kMost + 8, ' '), 0)),
                   {"some/file", "its header has 100000008 bytes; the most is 100 MB"}));
  st::Header header;
  header.metadata["text"] = std::string(kMost, 'x');
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { st::build_header(header); }),
                   {"the header of the file to save", "the most is 100 MB"}));
}

TEST(SafetensorsDamage, a_huge_header_length_is_an_error) {
  for (const uint64_t length :
       {uint64_t{9}, uint64_t{100'000'000}, uint64_t{100'000'001}, uint64_t{1} << 31,
        uint64_t{1} << 63, std::numeric_limits<uint64_t>::max() - 8,
        std::numeric_limits<uint64_t>::max() - 7, std::numeric_limits<uint64_t>::max()}) {
    std::string text;
    for (int i = 0; i < 8; ++i) text += static_cast<char>((length >> (8 * i)) & 0xff);
    EXPECT_FALSE(is_taken(text + "{}      ")) << length;
  }
}

TEST(SafetensorsDamage, holes_overlaps_and_swapped_offsets_are_errors) {
  const std::string one = entry("a", "U8", "[4]", "[0,4]");
  EXPECT_TRUE(is_taken(file_of("{" + one + "," + entry("b", "U8", "[4]", "[4,8]") + "}", 8)));
  EXPECT_TRUE(is_taken(file_of("{" + entry("b", "U8", "[4]", "[4,8]") + "," + one + "}", 8)));
  for (const char* offsets : {"[5,9]", "[3,7]", "[0,4]", "[8,4]", "[4,7]", "[4,9]", "[12,16]"}) {
    const std::string json = "{" + one + "," + entry("b", "U8", "[4]", offsets) + "}";
    for (const size_t size : {7U, 8U, 9U, 16U})
      EXPECT_FALSE(is_taken(file_of(json, size))) << offsets;
  }
  EXPECT_FALSE(is_taken(file_of("{" + entry("a", "U8", "[4]", "[1,5]") + "}", 5)));
  EXPECT_FALSE(is_taken(file_of("{" + one + "}", 5)));
  EXPECT_FALSE(is_taken(file_of("{" + one + "}", 3)));
}

TEST(SafetensorsDamage, shapes_that_overflow_are_errors) {
  for (const char* shape :
       {"[9223372036854775808]", "[18446744073709551615]", "[4294967296,4294967296]",
        "[4611686018427387904,4]", "[2305843009213693952,8]", "[0,9223372036854775808]",
        "[0,4611686018427387904,4611686018427387904]", "[9223372036854775807,9223372036854775807]",
        "[99999999999999999999]", "[1152921504606846976]"}) {
    EXPECT_FALSE(is_taken(file_of("{" + entry("a", "F64", shape, "[0,0]") + "}", 0))) << shape;
    EXPECT_FALSE(is_taken(file_of("{" + entry("a", "F64", shape, "[0,8]") + "}", 8))) << shape;
  }
  EXPECT_TRUE(is_taken(file_of("{" + entry("a", "F64", "[0,4]", "[0,0]") + "}", 0)));
}

TEST(SafetensorsDamage, members_of_a_wrong_type_are_errors) {
  for (const std::string& json :
       {std::string("[]"),
        std::string("5"),
        std::string("null"),
        std::string("{\"a\":5}"),
        std::string("{\"a\":{}}"),
        std::string("{\"a\":[]}"),
        std::string("{\"__metadata__\":{\"x\":1}}"),
        std::string("{\"__metadata__\":[]}"),
        std::string("{\"__metadata__\":\"x\"}"),
        "{" + entry("a", "U8", "4", "[0,4]") + "}",
        "{" + entry("a", "U8", "{\"x\":4}", "[0,4]") + "}",
        "{" + entry("a", "U8", "null", "[0,4]") + "}",
        "{" + entry("a", "U8", "[-4]", "[0,4]") + "}",
        "{" + entry("a", "U8", "[4.0]", "[0,4]") + "}",
        "{" + entry("a", "U8", "[\"4\"]", "[0,4]") + "}",
        "{" + entry("a", "U8", "[4]", "[0]") + "}",
        "{" + entry("a", "U8", "[4]", "[0,4,4]") + "}",
        "{" + entry("a", "U8", "[4]", "[0,4.0]") + "}",
        "{" + entry("a", "U8", "[4]", "[-4,0]") + "}",
        "{" + entry("a", "U8", "[4]", "{\"b\":0,\"e\":4}") + "}",
        "{" + entry("a", "U8", "[4]", "[0,18446744073709551615]") + "}",
        "{" + entry("a", "X8", "[4]", "[0,4]") + "}",
        "{" + entry("a", "u8", "[4]", "[0,4]") + "}",
        std::string("{\"a\":{\"dtype\":8,\"shape\":[4],\"data_offsets\":[0,4]}}")}) {
    EXPECT_FALSE(is_taken(file_of(json, 4))) << json;
    EXPECT_FALSE(is_taken(file_of(json, 0))) << json;
  }
}

TEST(SafetensorsDamage, deep_nesting_is_an_error) {
  EXPECT_FALSE(is_taken(file_of(std::string(300'000, '['), 0)));
  EXPECT_FALSE(is_taken(
      file_of("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}", 0)));
}

TEST(SafetensorsDamage, a_header_of_another_form_takes_no_more_memory_than_its_bytes) {
  constexpr size_t kBytes = 20 << 20;
  const auto filled = [](std::string start, const std::string& with) {
    while (start.size() < kBytes) start += with;
    return file_of(start, 0);
  };
  for (const auto& [start, with] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "["},
           {"{\"a\":", "["},
           {"", "{\"a\":"},
           {"{\"a\":[", "[],"},
           {"{\"a\":{\"shape\":[", "1,"},
           {"{\"a\":{\"shape\":[", "[],"},
           {"{\"__metadata__\":{\"a\":", "["},
           {"{", "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"}}) {
    const std::string file = filled(start, with);
    test::forget_peak();
    const int64_t before = test::peak_memory();
    EXPECT_TRUE(says(message_of<CheckpointError>([&] { st::parse(bytes_of(file), "a.ckpt"); }),
                     {"a.ckpt", "its header can't be read"}))
        << start << with;
    EXPECT_LT(test::peak_memory() - before, int64_t{3 * kBytes}) << start << with;
  }
}

TEST(SafetensorsDamage, a_name_that_is_there_twice_is_an_error) {
  const std::string twice =
      "{" + entry("w", "U8", "[1]", "[0,1]") + "," + entry("w", "U8", "[1]", "[1,2]") + "}";
  EXPECT_TRUE(
      says(message_of<CheckpointError>([&] { st::parse(bytes_of(file_of(twice, 2)), "a"); }),
           {"'w' is there twice"}));
}

}  // namespace levin::safetensors_test
