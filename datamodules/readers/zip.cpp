#include <levin/datamodules/readers/zip.h>

#include <unistd.h>
#include <zip.h>

#include <ctime>
#include <new>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/gzip.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/write_signals.h>

namespace levin::readers {
namespace {

/// The size of an archive without entries. Smaller files are refused here, because libzip takes an
/// empty file for an archive too.
constexpr uint64_t kSmallestArchive = 22;

/// libzip's description of a failure.
class ZipFailure {
 public:
  ZipFailure() { zip_error_init(&error_); }
  explicit ZipFailure(zip_error_t* error) : ZipFailure() {
    zip_error_set(&error_, zip_error_code_zip(error), zip_error_code_system(error));
  }
  ZipFailure(const ZipFailure&) = delete;
  ZipFailure& operator=(const ZipFailure&) = delete;
  ~ZipFailure() { zip_error_fini(&error_); }

  zip_error_t* out() { return &error_; }
  int code() const { return zip_error_code_zip(&error_); }
  std::string text() { return zip_error_strerror(&error_); }

  /// Throws the DataError for a failure to open or read `archive`; `part` is an entry's name in
  /// quotes, or "" for the directory.
  [[noreturn]] void raise(const std::string& archive, const std::string& part) {
    switch (code()) {
      case ZIP_ER_MEMORY:
        throw std::bad_alloc();
      case ZIP_ER_OPEN:
      case ZIP_ER_READ:
      case ZIP_ER_SEEK:
      case ZIP_ER_TELL:
        throw DataError::unreadable(archive, text());
      case ZIP_ER_NOZIP:
        throw DataError::corrupt(archive,
                                 "it isn't a zip file, or it is truncated: the directory at its "
                                 "end is missing; copy or write the file again");
      case ZIP_ER_MULTIDISK:
        throw DataError::corrupt(archive,
                                 "it is only a part of an archive; join all parts into one file");
      case ZIP_ER_EXISTS:
        throw DataError::corrupt(archive,
                                 "two of its files have the same name; rename one of them");
      case ZIP_ER_CRC:
        throw DataError::corrupt(archive, "the checksum (CRC-32) of " + part +
                                              " is wrong; copy or write the file again");
      default:
        throw DataError::corrupt(archive, (part.empty() ? "its directory" : part) +
                                              " is damaged (" + text() +
                                              "); copy or write the file again");
    }
  }

 private:
  zip_error_t error_ = {};
};

struct CloseZipFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

/// Fills `out` as far as the entry goes and returns the bytes written.
size_t read_fully(zip_file_t* file, std::span<std::byte> out, const std::string& archive,
                  const std::string& part) {
  size_t written = 0;
  while (written < out.size()) {
    const zip_int64_t got = zip_fread(file, out.data() + written, out.size() - written);
    if (got < 0) ZipFailure(zip_file_get_error(file)).raise(archive, part);
    if (got == 0) break;
    written += static_cast<size_t>(got);
  }
  return written;
}

/// Midnight of 1980-01-01 on the local clock, which is what libzip writes down: the first time that
/// a zip file can hold, and the one that NumPy writes.
time_t first_zip_time() {
  std::tm date = {};
  date.tm_year = 80;
  date.tm_mday = 1;
  date.tm_isdst = -1;
  return std::mktime(&date);
}

/// Adds a file to an open archive; false if libzip refuses it. The bytes are read when the archive
/// is closed.
bool add_member(zip_t* archive, const ZipMember& member) {
  std::vector<zip_buffer_fragment_t> fragments;
  for (const auto& part : member.parts) {
    auto* const data = const_cast<std::byte*>(part.data());  // libzip only reads it
    fragments.push_back({reinterpret_cast<zip_uint8_t*>(data), part.size()});
  }
  zip_source_t* const source =
      zip_source_buffer_fragment(archive, fragments.data(), fragments.size(), /*freep=*/0);
  if (source == nullptr) return false;
  const zip_int64_t index = zip_file_add(archive, member.name.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    return false;
  }
  const auto entry = static_cast<zip_uint64_t>(index);
  return zip_set_file_compression(archive, entry, ZIP_CM_STORE, 0) == 0 &&
         zip_file_set_mtime(archive, entry, first_zip_time(), 0) == 0;
}

/// Writes a new archive. Returns what went wrong, or "" if nothing did.
std::string write_archive(const std::filesystem::path& path, std::span<const ZipMember> members) {
  int code = 0;
  zip_t* const archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (archive == nullptr) {
    ZipFailure failure;
    zip_error_init_with_code(failure.out(), code);
    return failure.text();
  }
  bool written = true;
  for (const ZipMember& member : members) written = written && add_member(archive, member);
  if (written && zip_close(archive) == 0) return "";
  std::string reason = zip_strerror(archive);
  zip_discard(archive);
  return reason;
}

}  // namespace

void ZipArchive::Close::operator()(struct zip* archive) const { zip_discard(archive); }

ZipArchive::ZipArchive(const std::filesystem::path& path) : name_(path.string()) {
  const FileSource file(path);  // throws for a missing file, a folder and a pipe
  ZipFailure failure;
  zip_source_t* const source = zip_source_file_create(path.c_str(), 0, -1, failure.out());
  if (source == nullptr) failure.raise(name_, "");
  open(source, file.size());
}

ZipArchive::ZipArchive(std::span<const std::byte> bytes, std::string_view name) : name_(name) {
  ZipFailure failure;
  zip_source_t* const source =
      zip_source_buffer_create(bytes.data(), bytes.size(), /*freep=*/0, failure.out());
  if (source == nullptr) failure.raise(name_, "");
  open(source, bytes.size());
}

ZipArchive::~ZipArchive() = default;

void ZipArchive::open(struct zip_source* source, uint64_t size) {
  ZipFailure failure;
  if (size >= kSmallestArchive) {
    archive_.reset(zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, failure.out()));
  } else {
    zip_error_set(failure.out(), ZIP_ER_NOZIP, 0);
  }
  if (archive_ == nullptr) {
    zip_source_free(source);
    failure.raise(name_, "");
  }
  read_directory(size);
}

void ZipArchive::read_directory(uint64_t archive_size) {
  const auto count = static_cast<zip_uint64_t>(zip_get_num_entries(archive_.get(), 0));
  entries_.reserve(count);
  for (zip_uint64_t i = 0; i < count; ++i) {
    zip_stat_t stat = {};
    const char* const name = zip_get_name(archive_.get(), i, ZIP_FL_ENC_RAW);
    if (name == nullptr || zip_stat_index(archive_.get(), i, ZIP_FL_ENC_RAW, &stat) != 0) {
      ZipFailure(zip_get_error(archive_.get())).raise(name_, "");
    }
    const std::string shown = in_quotes(name);
    if (stat.encryption_method != ZIP_EM_NONE) {
      throw DataError::corrupt(name_,
                               shown + " is encrypted; write the archive without a password");
    }
    if (stat.comp_size > archive_size) {
      throw DataError::corrupt(name_, "its directory says that " + shown + " takes " +
                                          counted(stat.comp_size, "byte") + ", but it has " +
                                          std::to_string(archive_size) +
                                          "; copy or write the file again");
    }
    entries_.push_back({name, i, stat.comp_method, stat.comp_size, stat.size});
  }
}

Bytes ZipArchive::read(const ZipEntry& entry) const {
  const std::string shown = in_quotes(entry.name);
  if (entry.method != ZIP_CM_STORE && entry.method != ZIP_CM_DEFLATE) {
    throw DataError::corrupt(name_, shown + " is compressed by method " +
                                        std::to_string(entry.method) +
                                        ", but must be stored (0) or deflated (8); write it with "
                                        "numpy.savez or numpy.savez_compressed");
  }
  const bool stored = entry.method == ZIP_CM_STORE;
  if (stored ? entry.size != entry.compressed_size
             : entry.size > entry.compressed_size * kMostInflated + 64) {
    throw DataError::corrupt(name_, "its directory says that " + shown + " has " +
                                        counted(entry.size, "byte") + ", which can't come from " +
                                        counted(entry.compressed_size, "byte") +
                                        " in the archive; copy or write the file again");
  }
  const std::unique_ptr<zip_file_t, CloseZipFile> file(
      zip_fopen_index(archive_.get(), entry.index, 0));
  if (file == nullptr) ZipFailure(zip_get_error(archive_.get())).raise(name_, shown);
  Bytes bytes;
  grow(bytes, entry.size, name_);
  const size_t size = read_fully(file.get(), bytes, name_, shown);
  std::byte past_end = {};  // libzip compares the checksum when it finds the end
  if (size < bytes.size() || read_fully(file.get(), {&past_end, 1}, name_, shown) > 0) {
    throw DataError::corrupt(name_, "its directory says that " + shown + " has " +
                                        counted(entry.size, "byte") + ", but it has " +
                                        (size < bytes.size() ? std::to_string(size) : "more") +
                                        "; copy or write the file again");
  }
  return bytes;
}

void write_zip(const std::filesystem::path& path, std::span<const ZipMember> members) {
  if (members.empty()) {  // libzip writes no file then
    std::string directory(kSmallestArchive, '\0');
    directory.replace(0, 4, "PK\x05\x06");
    return files::write_atomically(path, directory);
  }
  const NoWriteSignals signals;  // libzip writes by itself
  if (path.has_parent_path()) files::create_folder(path.parent_path());
  auto temporary = path;
  temporary += ".tmp-" + std::to_string(::getpid());
  const std::string reason = write_archive(temporary, members);
  if (!reason.empty()) {
    files::remove_file(temporary);
    throw CheckpointError::io("write", path.string(), reason);
  }
  try {
    files::move_into_place(temporary, path);
  } catch (...) {
    files::remove_file(temporary);
    throw;
  }
}

}  // namespace levin::readers
