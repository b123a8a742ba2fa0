#include <levin/framework/formats/safetensors.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>

namespace levin::safetensors {
namespace {

using json = nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kLargestHeader = 100'000'000;  // 100 MB, the reference reader's own limit
constexpr uint64_t kAlignment = 8;
constexpr const char* kMetadata = "__metadata__";
/// The most values in the description of one tensor. LibTorch's tensors have at most 64 dimensions.
constexpr int64_t kMostValues = 1000;

void put_length(std::string& out, uint64_t length) {
  for (int i = 0; i < 8; ++i) out += static_cast<char>((length >> (8 * i)) & 0xff);
}

uint64_t get_length(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  }
  return length;
}

/// Returns the number of bytes of a tensor. Returns the largest uint64 if that number doesn't fit
/// into int64, or, for a tensor without elements, if its strides wouldn't fit.
uint64_t byte_size(const Entry& entry) {
  auto size = static_cast<int64_t>(element_size(entry.dtype));
  bool is_empty = false;
  for (const int64_t extent : entry.shape) {
    is_empty = is_empty || extent == 0;
    if (__builtin_mul_overflow(size, std::max<int64_t>(extent, 1), &size)) {
      return std::numeric_limits<uint64_t>::max();
    }
  }
  return is_empty ? 0 : static_cast<uint64_t>(size);
}

Entry read_entry(const std::string& name, const json& item) {
  Entry entry{.name = name, .dtype = item.at("dtype").get<std::string>(), .shape = {}};
  const auto& shape = item.at("shape");
  if (!shape.is_array()) throw std::invalid_argument("shape of '" + name + "'");
  for (const auto& extent : shape) {
    if (!extent.is_number_unsigned() || !std::in_range<int64_t>(extent.get<uint64_t>())) {
      throw std::invalid_argument("shape of '" + name + "'");
    }
    entry.shape.push_back(extent.get<int64_t>());
  }
  const auto& offsets = item.at("data_offsets");
  if (offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    throw std::invalid_argument("data_offsets of '" + name + "'");
  }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  return entry;
}

/// Takes one member of the header after another from the JSON parser, and tells the parser to
/// discard it. A header that has another form is refused at the first token that shows it, so that
/// a hostile one takes no more memory than an honest one of its size.
class TensorHeaderReader {
 public:
  /// What nlohmann's parser calls. `depth` is the number of lists and objects around the value; the
  /// parser keeps the value if the result is true.
  bool operator()(int depth, json::parse_event_t event, json& value) {
    using Event = json::parse_event_t;
    const bool begins = event == Event::object_start || event == Event::array_start;
    if (depth == 0 && event != Event::object_start && event != Event::object_end) {
      throw std::invalid_argument("the header isn't an object");
    }
    if (depth == 1 && event == Event::key) {
      name_ = value.get<std::string>();
      values_ = 0;
      if (!names_.insert(name_).second)
        throw std::invalid_argument(fmt::format("'{}' is there twice", name_));
    } else if (depth == 1 && (event == Event::array_start || event == Event::value)) {
      throw std::invalid_argument(fmt::format("'{}' isn't an object", name_));
    } else if (depth == 1 && event == Event::object_end) {
      take(value);
      return false;
    }
    if (begins && (depth > 2 || (depth == 2 && name_ == kMetadata))) {
      throw std::invalid_argument(fmt::format("'{}' is nested too deeply", name_));
    }
    if (depth > 1 && name_ != kMetadata && ++values_ > kMostValues) {
      throw std::invalid_argument(fmt::format("'{}' has more than {} values", name_, kMostValues));
    }
    return true;
  }

  Header header;

 private:
  void take(const json& member) {
    if (name_ == kMetadata) {
      header.metadata = member.get<std::map<std::string, std::string>>();
    } else {
      header.entries.push_back(read_entry(name_, member));
    }
  }

  std::set<std::string, std::less<>> names_;
  std::string name_;    // the member that is being read
  int64_t values_ = 0;  // tokens in it so far
};

Header read_header(std::string_view text) {
  TensorHeaderReader reader;
  [[maybe_unused]] const json rest =
      json::parse(text, [&](int depth, json::parse_event_t event, json& value) {
        return reader(depth, event, value);
      });
  return std::move(reader.header);
}

/// Sorts the entries by their place in the data and returns why they can't describe `size` bytes of
/// data. Returns an empty text if they can.
std::string find_problem(Header& header, uint64_t size) {
  auto& entries = header.entries;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t expected = 0;
  for (const auto& entry : entries) {
    if (element_size(entry.dtype) == 0) {
      return fmt::format("'{}' has the unknown type '{}'", entry.name, entry.dtype);
    }
    if (entry.begin != expected || entry.end < entry.begin) {
      return fmt::format("'{}' doesn't start where the tensor before it ends", entry.name);
    }
    if (entry.end - entry.begin != byte_size(entry)) {
      return fmt::format("'{}' has {} bytes, but its type and shape need {}", entry.name,
                         entry.end - entry.begin, byte_size(entry));
    }
    expected = entry.end;
  }
  if (expected == size) return {};
  return fmt::format("the file has {} bytes of data, but its header describes {}", size, expected);
}

}  // namespace

uint64_t element_size(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

std::string build_header(Header& header) {
  json root = json::object();
  if (!header.metadata.empty()) root[kMetadata] = header.metadata;
  uint64_t offset = 0;
  for (auto& entry : header.entries) {
    if (entry.name == kMetadata) {
      throw CheckpointError(
          fmt::format("a tensor to save has the name '{}', which the format itself uses; rename it",
                      entry.name));
    }
    if (root.contains(entry.name)) {
      throw CheckpointError(
          fmt::format("two tensors to save have the name '{}'; rename one of them", entry.name));
    }
    entry.begin = offset;
    offset += byte_size(entry);
    entry.end = offset;
    root[entry.name] = {
        {"dtype", entry.dtype}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text;
  try {
    text = root.dump();
  } catch (const json::type_error& error) {
    throw CheckpointError(fmt::format("a name or text to save isn't UTF-8 ({})", error.what()));
  }
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  if (text.size() > kLargestHeader) {
    throw CheckpointError(
        fmt::format("the header of the file to save would have {} bytes; the most is 100 MB. Save "
                    "fewer tensors or less text with them.",
                    text.size()));
  }
  std::string out;
  out.reserve(kLengthBytes + text.size());
  put_length(out, text.size());
  return out + text;
}

File parse(std::span<const std::byte> bytes, std::string_view path) {
  if (bytes.size() < kLengthBytes) {
    throw CheckpointError::corrupt(path, fmt::format("it has only {} bytes", bytes.size()));
  }
  const uint64_t length = get_length(bytes);
  if (length > bytes.size() - kLengthBytes) {
    throw CheckpointError::corrupt(path, "its header is longer than the file");
  }
  if (length > kLargestHeader) {
    throw CheckpointError::corrupt(
        path, fmt::format("its header has {} bytes; the most is 100 MB", length));
  }
  const auto text = bytes.subspan(kLengthBytes, length);
  File file;
  try {
    file.header =
        read_header(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()));
  } catch (const std::exception& error) {
    throw CheckpointError::corrupt(path,
                                   fmt::format("its header can't be read ({:.200})", error.what()));
  }
  file.data = bytes.subspan(kLengthBytes + length);
  if (const auto problem = find_problem(file.header, file.data.size()); !problem.empty()) {
    throw CheckpointError::corrupt(path, problem);
  }
  return file;
}

}  // namespace levin::safetensors
