#include <levin/datamodules/readers/sparse_lvb.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin::readers {
namespace {

constexpr std::string_view kSparseMagic = "\x89LVB\r\n\x1a\n";
constexpr uint64_t kSparseVersion = 2;
constexpr size_t kSparseHeader = 64;
constexpr size_t kSparseCrcAt = 36;
constexpr std::string_view kMakeAgain = "copy it again, or make it again with levin convert";

using SparseHeader = std::array<std::byte, kSparseHeader>;

void store_number(SparseHeader& header, size_t at, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) {
    header[at + i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
  }
}

uint32_t header_checksum(SparseHeader header) {
  store_number(header, kSparseCrcAt, 0, 4);
  return crc32(header);
}

template <class T>
std::span<const std::byte> bytes_of_list(const NumberList<T>& list) {
  return std::as_bytes(list.span());
}

template <class T>
void read_list(const FileSource& file, uint64_t start, int64_t first, int64_t count,
               NumberList<T>& to) {
  T* const numbers = to.grow_by(static_cast<size_t>(count));
  file.read(start + static_cast<uint64_t>(first) * sizeof(T),
            std::as_writable_bytes(std::span(numbers, static_cast<size_t>(count))));
}

}  // namespace

SparseLvb::Places SparseLvb::places(uint64_t rows, uint64_t entries, uint64_t lists) {
  Places places;
  uint64_t at = kSparseHeader;
  const auto add = [&at](uint64_t& place, bool is_there, uint64_t bytes) {
    if (is_there && bytes > 0) at = (at + 63) / 64 * 64;
    place = at;
    if (is_there) at += bytes;
  };
  add(places.offsets, true, (rows + 1) * sizeof(int64_t));
  add(places.targets, (lists & kTargets) != 0, rows * sizeof(float));
  add(places.weights, (lists & kWeights) != 0, rows * sizeof(float));
  add(places.qids, (lists & kQids) != 0, rows * sizeof(int64_t));
  add(places.indices, true, entries * sizeof(int32_t));
  add(places.values, (lists & kValues) != 0, entries * sizeof(float));
  places.end = at;
  return places;
}

std::array<std::byte, 64> sparse_lvb_header(const SparseLvbHeader& says) {
  const uint64_t lists =
      (says.has_targets ? SparseLvb::kTargets : 0) | (says.has_weights ? SparseLvb::kWeights : 0) |
      (says.has_qids ? SparseLvb::kQids : 0) | (says.has_values ? SparseLvb::kValues : 0);
  SparseHeader header = {};
  std::copy_n(bytes_of(kSparseMagic).begin(), kSparseMagic.size(), header.begin());
  store_number(header, 8, kSparseVersion, 4);
  store_number(header, 12, kSparseHeader, 4);
  store_number(header, 16, static_cast<uint64_t>(says.rows), 8);
  store_number(header, 24, static_cast<uint64_t>(says.entries), 8);
  store_number(header, 32, static_cast<uint64_t>(says.columns), 4);
  store_number(header, 40, lists, 4);
  store_number(header, kSparseCrcAt, header_checksum(header), 4);
  return header;
}

void write_sparse_lvb(const std::filesystem::path& path, const SparseRows& rows) {
  const auto header = sparse_lvb_header({.rows = rows.rows(),
                                         .entries = rows.entries(),
                                         .columns = rows.columns,
                                         .has_targets = !rows.targets.empty(),
                                         .has_weights = !rows.weights.empty(),
                                         .has_qids = !rows.qids.empty(),
                                         .has_values = !rows.values.empty()});
  static constexpr std::array<std::byte, 64> kZeros = {};
  std::vector<std::span<const std::byte>> parts;
  uint64_t at = 0;
  const auto add = [&](std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    parts.push_back(std::span(kZeros).first((64 - at % 64) % 64));
    parts.push_back(bytes);
    at += parts[parts.size() - 2].size() + bytes.size();
  };
  add(header);
  add(bytes_of_list(rows.offsets));
  add(bytes_of_list(rows.targets));
  add(bytes_of_list(rows.weights));
  add(bytes_of_list(rows.qids));
  add(bytes_of_list(rows.indices));
  add(bytes_of_list(rows.values));
  std::erase_if(parts, [](const auto& part) { return part.empty(); });
  files::write_atomically(path, parts);
}

bool is_sparse_lvb(const std::filesystem::path& path) {
  const FileSource file(path);
  if (file.size() < 12) return false;
  const Bytes front = file.read(0, 12);
  const auto magic = bytes_of(kSparseMagic);
  return std::equal(magic.begin(), magic.end(), front.begin()) &&
         load_little(front, 8, 4) == kSparseVersion;
}

SparseLvb::SparseLvb(const std::filesystem::path& path) : file_(path) {
  parse_header();
  places_ = places(static_cast<uint64_t>(rows_), static_cast<uint64_t>(entries_), lists_);
  if (places_.end == file_.size()) return;
  fail("it has " + counted(file_.size(), "byte") + ", but its header says " +
       std::to_string(places_.end) +
       (file_.size() < places_.end ? ": it is truncated" : ": something was appended to it"));
}

void SparseLvb::parse_header() {
  SparseHeader header = {};
  const size_t size = std::min<uint64_t>(file_.size(), kSparseHeader);
  file_.read(0, std::span(header).first(size));
  const auto magic = bytes_of(kSparseMagic);
  if (size < 12 || !std::equal(magic.begin(), magic.end(), header.begin())) {
    throw DataError::corrupt(name(),
                             "it isn't a .lvb file, which starts with the bytes 89 4c 56 42 0d 0a "
                             "1a 0a; check that it is the right file");
  }
  const uint64_t version = load_little(header, 8, 4);
  if (version == 1) {
    throw DataError::corrupt(name(),
                             "its rows are dense, but sparse rows are read here; make it again "
                             "with levin convert and sparse = true");
  }
  if (version != kSparseVersion) {
    throw DataError::corrupt(name(),
                             "its version of the .lvb format is " + std::to_string(version) +
                                 ", but this Levin reads version 2 as sparse rows; use a newer "
                                 "Levin, or make it again with levin convert");
  }
  if (size < kSparseHeader) fail("it ends after " + counted(size, "byte") + ", inside its header");
  if (header_checksum(header) != load_little(header, kSparseCrcAt, 4)) {
    fail("the checksum (CRC-32) of its header is wrong");
  }
  constexpr uint64_t kMost = uint64_t{1} << 56;
  const uint64_t rows = load_little(header, 16, 8);
  const uint64_t entries = load_little(header, 24, 8);
  const uint64_t columns = load_little(header, 32, 4);
  lists_ = load_little(header, 40, 4);
  if (rows > kMost || entries > kMost || columns > SparseRows::kMostColumns || lists_ > 15 ||
      load_little(header, 12, 4) != kSparseHeader) {
    fail("its header says " + std::to_string(rows) + " rows with " + std::to_string(entries) +
         " entries in " + std::to_string(columns) + " columns and the lists " +
         std::to_string(lists_) + ", which no file can have");
  }
  rows_ = static_cast<int64_t>(rows);
  entries_ = static_cast<int64_t>(entries);
  columns_ = static_cast<int64_t>(columns);
}

SparseRows SparseLvb::read(int64_t first, int64_t count) const {
  SparseRows rows;
  read(first, count, rows);
  return rows;
}

void SparseLvb::read(int64_t first, int64_t count, SparseRows& rows) const {
  if (first < 0 || count < 0 || first > rows_ || count > rows_ - first) {
    throw DataError::no_such_row(first < 0 || first > rows_ ? first : rows_, rows_,
                                 "ask for rows that " + name() + " has");
  }
  rows.clear();
  rows.columns = columns_;
  rows.offsets.clear();
  read_list(file_, places_.offsets, first, count + 1, rows.offsets);
  const int64_t begin = rows.offsets[0];
  const int64_t end = rows.offsets.back();
  const auto offsets = rows.offsets.span();
  if (begin < 0 || end > entries_ || !std::is_sorted(offsets.begin(), offsets.end()) ||
      (first == 0 && begin != 0) || (first + count == rows_ && end != entries_)) {
    fail("the entries of the rows " + std::to_string(first) + " to " +
         std::to_string(first + count - 1) + " lie outside the file or overlap");
  }
  for (auto& offset : rows.offsets.span()) offset -= begin;
  if (has_targets()) read_list(file_, places_.targets, first, count, rows.targets);
  if ((lists_ & kWeights) != 0) read_list(file_, places_.weights, first, count, rows.weights);
  if ((lists_ & kQids) != 0) read_list(file_, places_.qids, first, count, rows.qids);
  read_list(file_, places_.indices, begin, end - begin, rows.indices);
  if ((lists_ & kValues) != 0) {
    read_list(file_, places_.values, begin, end - begin, rows.values);
  }
  rows.check(name(), kMakeAgain);
}

void SparseLvb::fail(const std::string& reason) const {
  throw DataError::corrupt(name(), reason + "; " + std::string(kMakeAgain));
}

}  // namespace levin::readers
