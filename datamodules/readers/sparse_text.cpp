#include <levin/datamodules/readers/sparse_text.h>

#include <algorithm>
#include <exception>
#include <thread>

#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// A stretch of the file, and what was made of it.
struct Chunk {
  TextStretch stretch = {};
  ParsedRows parsed = {};
  bool failed = false;
};

/// Parses a chunk apart from those before it, so that the numbers of its lines aren't known.
void parse_chunk(const SparseFormat& format, Chunk& chunk) {
  chunk.parsed.clear();
  chunk.failed = false;
  try {
    format.parse(chunk.stretch.text, 1, chunk.parsed);
  } catch (const std::exception&) {
    chunk.failed = true;  // parsed again to tell the line
  }
}

void parse_together(const SparseFormat& format, std::span<Chunk> chunks) {
  std::vector<std::thread> threads;
  const auto join = [&threads] {
    for (auto& thread : threads) thread.join();
  };
  try {
    for (auto& chunk : chunks.subspan(1)) {
      threads.emplace_back([&format, &chunk] { parse_chunk(format, chunk); });
    }
  } catch (...) {
    join();
    throw;
  }
  parse_chunk(format, chunks.front());
  join();
}

}  // namespace

void ParsedRows::append(const ParsedRows& next) {
  rows.append(next.rows);
  if (summary.fraction_line == 0 && next.summary.fraction_line > 0) {
    summary.fraction_line = lines + next.summary.fraction_line;
  }
  summary.has_minus_one = summary.has_minus_one || next.summary.has_minus_one;
  summary.has_zero = summary.has_zero || next.summary.has_zero;
  lowest = std::min(lowest, next.lowest);
  highest = std::max(highest, next.highest);
  lines += next.lines;
}

void ParsedRows::clear() {
  rows.clear();
  summary = {};
  lowest = SparseRows::kMostColumns + int64_t{1};
  highest = -1;
  lines = 0;
}

void ParsedRows::settle_signs() {
  if (!summary.has_minus_one || summary.has_zero || summary.fraction_line > 0) return;
  for (auto& target : rows.targets.span()) target = target == -1.0F ? 0.0F : target;
}

void parse_file(TextFile& file, const SparseFormat& format, int64_t threads, ParsedRows& parsed,
                const std::function<void()>& while_reading) {
  const int64_t lines_before = parsed.lines;
  std::vector<Chunk> chunks(static_cast<size_t>(threads));
  while (threads == 1 && !file.has_ended()) {
    // The rows are written where they stay, and lines have their numbers from the beginning.
    auto& stretch = chunks.front().stretch;
    file.next(stretch);
    format.parse(stretch.text, 1 - lines_before, parsed);
    file.release(stretch);
    if (while_reading) while_reading();
  }
  while (!file.has_ended()) {
    size_t count = 0;
    std::exception_ptr unreadable;  // what is in front of the fault is parsed first
    try {
      for (; count < chunks.size() && !file.has_ended(); ++count) file.next(chunks[count].stretch);
    } catch (...) {
      unreadable = std::current_exception();
    }
    if (count > 0) parse_together(format, std::span(chunks).first(count));
    for (size_t i = 0; i < count; ++i) {
      auto& [stretch, own, failed] = chunks[i];
      if (failed) {
        own.clear();
        format.parse(stretch.text, parsed.lines - lines_before + 1, own);
      }
      parsed.append(own);
      file.release(stretch);
    }
    if (unreadable) std::rethrow_exception(unreadable);
    if (while_reading) while_reading();
  }
  file.check_unchanged();
}

ParsedRows parse_files(const std::vector<std::filesystem::path>& files, int64_t threads,
                       const std::function<void()>& while_reading, const MakeFormat& make_format) {
  if (files.empty()) throw DataError::empty("the list of files", "name at least one");
  ParsedRows parsed;
  for (const auto& path : files) {
    TextFile file(path);
    const int64_t before = parsed.rows.rows();
    parse_file(file, *make_format(file.name()), threads, parsed, while_reading);
    if (parsed.rows.rows() > before) continue;
    throw DataError(file.name() + " has no rows; add at least one, or leave the file out");
  }
  return parsed;
}

void check_threads(int64_t threads) {
  if (threads >= 1 && threads <= 1024) return;
  throw ConfigError::invalid_value("threads", std::to_string(threads), "must be from 1 to 1024");
}

}  // namespace levin::readers
