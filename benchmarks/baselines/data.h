#pragma once

// Reads the data for the benchmark programs in C++ that don't use Levin. It only needs zlib.

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

constexpr int64_t kTrainRows = 60'000, kTestRows = 10'000, kPixels = 784;

/// Reads the first `size` bytes after the header of an IDX file into `to`. The file may be gzipped.
inline void read_idx(const std::string& path, uint8_t* to, int64_t size) {
  gzFile file = gzopen(path.c_str(), "rb");  // also reads files that aren't compressed
  if (file == nullptr) file = gzopen((path + ".gz").c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("can't open " + path + "[.gz]");
  uint8_t header[16] = {};
  bool fine = gzread(file, header, 4) == 4 && header[2] == 8 && header[3] >= 1 && header[3] <= 3;
  const unsigned rest = fine ? 4U * header[3] : 0;
  fine = fine && gzread(file, header + 4, rest) == static_cast<int>(rest) &&
         gzread(file, to, static_cast<unsigned>(size)) == static_cast<int>(size);
  gzclose(file);
  if (!fine) throw std::runtime_error(path + " isn't one of MNIST's files, or is incomplete");
}

/// The features row by row, and the classes, which are the last column of the file.
struct Table {
  std::vector<float> x;
  std::vector<int64_t> y;
};

inline Table read_csv(const std::string& path, float scale) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw std::runtime_error("can't read " + path);
  Table table;
  while (std::getline(file, line)) {
    const char* text = line.c_str();
    char* end = nullptr;
    for (float value = std::strtof(text, &end); *end == ','; value = std::strtof(text, &end)) {
      table.x.push_back(value * scale);
      text = end + 1;
    }
    table.y.push_back(std::atoll(text));
  }
  return table;
}

}  // namespace bench
