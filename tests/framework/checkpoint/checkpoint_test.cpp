#include <levin/framework/checkpoint/checkpoint.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <levin/datamodules/readers/digest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/formats/safetensors.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::checkpoint_test {

namespace fs = std::filesystem;
using test::message_of;
using test::read_file;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

constexpr at::ScalarType kTypes[] = {at::kDouble, at::kFloat,  at::kHalf,  at::kBFloat16, at::kLong,
                                     at::kInt,    at::kShort,  at::kChar,  at::kByte,     at::kBool,
                                     at::kUInt64, at::kUInt32, at::kUInt16};

/// What `torch.float32` is called after its dot.
std::string python_name(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return "float64";
    case at::kFloat:
      return "float32";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kShort:
      return "int16";
    case at::kChar:
      return "int8";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    case at::kUInt64:
      return "uint64";
    case at::kUInt32:
      return "uint32";
    case at::kUInt16:
      return "uint16";
    default:
      return "?";
  }
}

/// A tensor of each type, tensors of unusual shapes and layouts, and a tree of values.
StateDict sample() {
  StateDict state;
  const auto numbers = torch::tensor({0.0, 1.0, -2.0, 0.1, 100.0, 3.0}, torch::kDouble);
  for (const auto type : kTypes) {
    const bool is_signed = type != at::kByte && !c10::isBarebonesUnsignedType(type);
    state.tensors["types." + python_name(type)] = (is_signed ? numbers : numbers.abs()).to(type);
  }
  const auto grid = torch::arange(24, torch::kFloat).reshape({2, 3, 4});
  state.tensors["scalar"] = torch::tensor(1.5, torch::kDouble);
  state.tensors["empty"] = torch::zeros({0}, torch::kFloat);
  state.tensors["empty.rows"] = torch::zeros({3, 0, 2}, torch::kLong);
  state.tensors["transposed"] = grid.transpose(0, 2);
  state.tensors["strided"] = grid.slice(2, 0, 4, 2);
  state.tensors["expanded"] = torch::tensor({7.0F}).expand({2, 5});
  state.tensors["parameter"] = torch::ones({3}, torch::requires_grad());
  state.tensors["odd"] = torch::arange(3, torch::kByte);
  state.tensors["special"] = torch::tensor({NAN, -NAN, INFINITY, -INFINITY, -0.0F, 1e-45F});
  state.values["epoch"] = 3;
  state.values["loss"] = Value::Array{0.1, std::nan(""), -0.0, "text \xff", nullptr};
  state.values["nested"]["deeper"]["flag"] = true;
  return state;
}

void expect_same(const StateDict& actual, const StateDict& expected) {
  ASSERT_EQ(actual.tensors.size(), expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    const auto found = actual.tensors.find(name);
    ASSERT_NE(found, actual.tensors.end()) << name;
    EXPECT_TRUE(same_bits(found->second, tensor)) << name << "\n" << found->second << tensor;
    EXPECT_TRUE(found->second.is_contiguous()) << name;
    EXPECT_FALSE(found->second.requires_grad()) << name;
  }
  EXPECT_EQ(actual.values.to_json(), expected.values.to_json());
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Whether the file is refused with the right error.
bool is_refused(const fs::path& path) {
  try {
    load_checkpoint(path);
    return false;
  } catch (const CheckpointError& error) {
    return std::string_view(error.what()).find(path.string()) != std::string_view::npos;
  }
}

/// The same of a file of these bytes.
bool is_refused(const fs::path& path, const std::string& bytes) {
  write(path, bytes);
  return is_refused(path);
}

class CheckpointFile : public ::testing::Test {
 protected:
  void save(const StateDict& state) const { save_checkpoint(path, state); }
  StateDict saved_and_loaded(const StateDict& state) const {
    save(state);
    return load_checkpoint(path);
  }

  const TemporaryFolder folder;
  const fs::path path = folder.path() / "a.ckpt";
};

TEST_F(CheckpointFile, gives_back_every_type_shape_and_value_to_the_bit) {
  const StateDict state = sample();
  expect_same(saved_and_loaded(state), state);
}

TEST_F(CheckpointFile, an_empty_state_is_one) {
  const StateDict loaded = saved_and_loaded({});
  EXPECT_TRUE(loaded.tensors.empty());
  EXPECT_TRUE(loaded.values.as_object().empty());
}

TEST_F(CheckpointFile, an_outline_says_all_but_the_data_and_needs_only_the_header) {
  StateDict state = sample();
  state.tensors["tied"] = state.tensors.at("parameter");
  save(state);
  std::string bytes = read_file(path);
  const size_t data_bytes = [&] {
    size_t sum = 0;
    for (const auto& [name, tensor] : sample().tensors) sum += tensor.nbytes();
    return sum;
  }();
  std::fill(bytes.end() - static_cast<std::ptrdiff_t>(data_bytes), bytes.end(), '\xff');
  ASSERT_TRUE(is_refused(path, bytes));
  const StateDict outline = load_checkpoint_outline(path);
  ASSERT_EQ(outline.tensors.size(), state.tensors.size());
  for (const auto& [name, tensor] : state.tensors) {
    EXPECT_EQ(outline.tensor(name).sizes(), tensor.sizes()) << name;
    EXPECT_EQ(outline.tensor(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(outline.tensor(name).is_meta()) << name;
  }
  EXPECT_EQ(outline.values.to_json(), state.values.to_json());
}

TEST_F(CheckpointFile, an_outline_of_a_damaged_header_is_refused_by_name) {
  save(sample());
  const std::string whole = read_file(path);
  const auto refusal = [&] {
    return message_of<CheckpointError>([&] { load_checkpoint_outline(path); });
  };
  std::string altered = whole;
  altered[whole.find("epoch")] = 'E';
  for (const std::string& bytes : {altered, whole.substr(0, whole.size() - 1), std::string()}) {
    write(path, bytes);
    EXPECT_TRUE(says(refusal(), {path.string()})) << bytes.size();
  }
  fs::remove(path);
  EXPECT_TRUE(says(refusal(), {"can't read", path.string()}));
}

TEST_F(CheckpointFile, the_same_state_gives_the_same_bytes) {
  save(sample());
  const std::string first = read_file(path);
  save(sample());
  EXPECT_EQ(read_file(path), first);
  save(load_checkpoint(path));
  EXPECT_EQ(read_file(path), first);
}

TEST_F(CheckpointFile, loaded_tensors_outlive_the_file_and_can_be_written) {
  StateDict loaded = saved_and_loaded(sample());
  fs::remove(path);
  auto numbers = loaded.tensors.at("types.float32");
  loaded = {};
  numbers.add_(1.0);
  EXPECT_EQ(numbers[1].item<float>(), 2.0F);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(numbers.data_ptr()) % 4, 0U);
}

// Tied weights are stored once, and are one tensor again after loading.
TEST_F(CheckpointFile, stores_tied_tensors_once_and_ties_them_again) {
  const auto weight = torch::randn({100, 50});
  StateDict state;
  state.tensors["encoder.weight"] = weight;
  state.tensors["decoder.weight"] = weight;
  state.tensors["third"] = weight.view({100, 50});
  StateDict loaded = saved_and_loaded(state);
  EXPECT_LT(fs::file_size(path), weight.nbytes() + 1000);
  expect_same(loaded, state);
  EXPECT_EQ(loaded.tensor("encoder.weight").data_ptr(), loaded.tensor("decoder.weight").data_ptr());
  loaded.tensors.at("third").zero_();
  EXPECT_EQ(loaded.tensor("encoder.weight").abs().sum().item<float>(), 0.0F);
}

TEST_F(CheckpointFile, views_of_one_memory_that_differ_keep_their_values) {
  const auto square = torch::arange(9, torch::kFloat).reshape({3, 3});
  StateDict state;
  state.tensors["a"] = square;
  state.tensors["a.transposed"] = square.t();
  state.tensors["a.flat"] = square.view({9});
  state.tensors["a.row"] = square[0];
  state.tensors["a.column"] = square.select(1, 0);
  state.tensors["a.ints"] = square.view(torch::kInt);
  expect_same(saved_and_loaded(state), state);
}

TEST_F(CheckpointFile, every_byte_changed_is_found) {
  save(sample());
  const std::string whole = read_file(path);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](size_t place, char byte) {
    file.seekp(static_cast<std::streamoff>(place)).put(byte).flush();
  };
  ASSERT_FALSE(is_refused(path));
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int change : {1 << (i % 8), 0x20, 0xff}) {
      put(i, static_cast<char>(whole[i] ^ change));
      ASSERT_TRUE(is_refused(path)) << "byte " << i << " of " << whole.size();
    }
    put(i, whole[i]);
  }
  EXPECT_EQ(read_file(path), whole);
  EXPECT_FALSE(is_refused(path));
}

TEST_F(CheckpointFile, torn_at_every_length_is_found) {
  save(sample());
  const std::string whole = read_file(path);
  for (size_t size = whole.size(); size-- > 0;) {
    fs::resize_file(path, size);
    ASSERT_TRUE(is_refused(path)) << size << " of " << whole.size();
  }
  EXPECT_TRUE(is_refused(path, whole + std::string(1, '\0')));
}

TEST_F(CheckpointFile, a_half_written_or_overwritten_block_is_found) {
  StateDict state;
  state.tensors["w"] = torch::randn({2000});
  save(state);
  std::string bytes = read_file(path);
  for (const size_t begin : {bytes.size() - 4096, bytes.size() / 2}) {
    std::string torn = bytes;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(begin), torn.end(), '\0');
    EXPECT_TRUE(is_refused(path, torn));
  }
}

TEST_F(CheckpointFile, a_checkpoint_that_cannot_be_written_leaves_the_old_one) {
  StateDict old;
  old.values["epoch"] = 1;
  save(old);
  for (const char* operation : {"open", "write", "sync", "rename"}) {
    files::inject_faults([&](const auto& each) { return each.name == operation ? ENOSPC : 0; });
    EXPECT_THROW(save(sample()), CheckpointError);
    files::inject_faults({});
    EXPECT_EQ(load_checkpoint(path).values.at("epoch"), Value(1));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  }
}

TEST_F(CheckpointFile, refuses_tensors_it_cannot_give_back_and_writes_nothing) {
  const auto refusal = [&](const std::string& name, const torch::Tensor& tensor) {
    StateDict state;
    state.tensors[name] = tensor;
    const auto message = message_of<CheckpointError>([&] { save(state); });
    EXPECT_FALSE(fs::exists(path));
    return message;
  };
  EXPECT_TRUE(says(refusal("w", torch::Tensor()), {"'w'", "undefined"}));
  EXPECT_TRUE(says(refusal("w", torch::eye(2).to_sparse()), {"'w'", "sparse"}));
  EXPECT_TRUE(says(refusal("w", torch::zeros({1}, torch::kComplexFloat)), {"'w'", "Complex"}));
  EXPECT_TRUE(says(refusal("\xff", torch::zeros({1})), {"UTF-8"}));
  EXPECT_TRUE(says(refusal("__metadata__", torch::zeros({1})), {"__metadata__"}));
}

TEST_F(CheckpointFile, a_missing_file_and_a_folder_are_named) {
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { load_checkpoint(path); }), {path.string()}));
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { load_checkpoint(folder.path()); }),
                   {folder.string(), "directory"}));
}

TEST_F(CheckpointFile, what_is_another_kind_of_file_is_called_that) {
  const auto refusal = [&](const std::string& bytes) {
    write(path, bytes);
    return message_of<CheckpointError>([&] { load_checkpoint(path); });
  };
  EXPECT_TRUE(says(refusal("model:\n  class_path: MLP\n"),
                   {path.string(), "it is text, not a checkpoint"}));
  EXPECT_TRUE(says(refusal("a,b\r\n1,2\r\nä,4\r\n"), {"it is text, not a checkpoint"}));
  EXPECT_TRUE(says(refusal("\x93NUMPY" + std::string(40, '\1')), {"an array of NumPy"}));
  EXPECT_TRUE(says(refusal("\x1f\x8b" + std::string(40, '\2')), {"a gzip file", "checkpoints/"}));
  EXPECT_TRUE(says(refusal(std::string(40, '\xff')), {"isn't a whole checkpoint", "header"}));
}

/// A file as somebody else writes it: no checksums.
std::string foreign_file(safetensors::Header header, const std::string& data) {
  return safetensors::build_header(header) + data;
}

TEST_F(CheckpointFile, reads_files_of_others) {
  write(path, foreign_file({.metadata = {{"format", "pt"}},
                            .entries = {{"a", "U8", {1}}, {"b", "F32", {}}, {"c", "I16", {2}}}},
                           std::string("\x07\0\0\xc0\x3f\x01\0\x02\0", 9)));
  const StateDict state = load_checkpoint(path);  // "b" and "c" lie at odd places
  EXPECT_EQ(state.tensor("a").item<int64_t>(), 7);
  EXPECT_EQ(state.tensor("b").item<float>(), 1.5F);
  EXPECT_EQ(state.tensor("b").dim(), 0);
  EXPECT_TRUE(same_bits(state.tensor("c"), torch::tensor({1, 2}, torch::kShort)));
  EXPECT_TRUE(state.values.as_object().empty());
}

TEST_F(CheckpointFile, refuses_files_of_others_that_claim_too_much) {
  const std::string data(8, '\0');
  const std::vector<safetensors::Entry> entries{{"a", "U8", {8}}};
  ASSERT_FALSE(is_refused(path, foreign_file({{}, entries}, data)));
  EXPECT_TRUE(is_refused(path, foreign_file({{{"levin.crc32.data", "00000000"}}, entries}, data)));
  EXPECT_TRUE(
      is_refused(path, foreign_file({{{"levin.crc32.header", "00000000"}}, entries}, data)));
  for (const char* values : {"{", "\xef\xbb\xbf{", "[[["}) {
    write(path, foreign_file({{{"levin.values", values}}, entries}, data));
    EXPECT_THROW(load_checkpoint(path), CheckpointError) << values;
  }
  for (const char* aliases : {"{\"b\":\"missing\"}", "{\"b\":5}", "[]", "5"}) {
    write(path, foreign_file({{{"levin.aliases", aliases}}, entries}, data));
    EXPECT_THROW(load_checkpoint(path), CheckpointError) << aliases;
  }
}

torch::Tensor from_hex(const std::string& digits, const std::vector<int64_t>& shape,
                       at::ScalarType type) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return torch::from_blob(bytes.data(), shape, type).clone();
}

// tests/baselines/safetensors_files.py
TEST_F(CheckpointFile, reads_what_pythons_safetensors_wrote) {
  const auto baseline = Value::from_json(
      read_file(fs::path(LEVIN_SOURCE_DIR) / "tests/baselines/safetensors_files.json"));
  std::map<std::string, at::ScalarType> types;
  for (const auto type : kTypes) types[python_name(type)] = type;
  size_t tensors = 0;
  for (const auto& item : baseline.at("cases").as_array()) {
    const std::string& digits = item.at("file").as_string();
    const auto file = from_hex(digits, {static_cast<int64_t>(digits.size() / 2)}, torch::kByte);
    write(path, std::string(static_cast<const char*>(file.const_data_ptr()), file.nbytes()));
    const StateDict state = load_checkpoint(path);
    EXPECT_EQ(state.tensors.size(), item.at("tensors").as_array().size());
    for (const auto& expected : item.at("tensors").as_array()) {
      const std::string& name = expected.at("name").as_string();
      std::vector<int64_t> shape;
      for (const auto& extent : expected.at("shape").as_array()) shape.push_back(extent.as_int());
      EXPECT_TRUE(
          same_bits(state.tensor(name), from_hex(expected.at("elements").as_string(), shape,
                                                 types.at(expected.at("dtype").as_string()))))
          << name;
      ++tensors;
    }
  }
  EXPECT_EQ(tensors, 19U);
}

/// The Python to read with; empty where there is none.
std::string python() {
  if (const char* given = std::getenv("LEVIN_PYTHON")) return given;
  const std::string own = std::string(LEVIN_SOURCE_DIR) + "/.deps/python/bin/python";
  return fs::exists(own) ? own : std::string();
}

std::string sha256(const torch::Tensor& tensor) {
  const auto plain = tensor.detach().contiguous();
  return readers::digest_hex(
      readers::DigestKind::sha256,
      {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
}

// Row 34: a checkpoint is a safetensors file that Python reads.
TEST_F(CheckpointFile, python_reads_the_same_bytes) {
  if (python().empty()) {
    GTEST_SKIP()
        << "no Python to read with: set LEVIN_PYTHON to one that has torch and safetensors";
  }
  StateDict state = sample();
  state.tensors["tied"] = state.tensors.at("special");
  save(state);
  const std::string command =
      "\"" + python() + "\" -B \"" LEVIN_SOURCE_DIR "/tests/baselines/safetensors_read.py\" \"" +
      path.string() + "\"";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  for (size_t got = 0; (got = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    output.append(buffer, got);
  }
  const int status = ::pclose(pipe);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << python() << " lacks torch or safetensors";
  ASSERT_EQ(WEXITSTATUS(status), 0) << command << "\n" << output;

  const Value read = Value::from_json(output);
  state.tensors.erase("tied");  // stored once, under the name that comes first
  EXPECT_EQ(read.at("tensors").as_object().size(), state.tensors.size());
  for (const auto& [name, tensor] : state.tensors) {
    const Value& entry = read.at("tensors").at(name);
    Value::Array shape;
    for (const int64_t extent : tensor.sizes()) shape.emplace_back(extent);
    EXPECT_EQ(entry.at("dtype"), Value(python_name(tensor.scalar_type()))) << name;
    EXPECT_EQ(entry.at("shape"), Value(shape)) << name;
    EXPECT_EQ(entry.at("sha256"), Value(sha256(tensor))) << name;
  }
  EXPECT_EQ(read.at("metadata").at("format"), Value("pt"));
  EXPECT_EQ(Value::from_json(read.at("metadata").at("levin.values").as_string()).to_json(),
            state.values.to_json());
  EXPECT_EQ(read.at("metadata").at("levin.aliases"), Value(R"({"tied":"special"})"));
}

}  // namespace levin::checkpoint_test
