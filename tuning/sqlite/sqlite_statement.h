#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace levin {

/// An SQLite database that is open.
class SqliteDatabase {
 public:
  /// Opens a file, to read it or as a new one. Throws CheckpointError if that fails.
  static SqliteDatabase open_to_read(const std::filesystem::path& path);
  static SqliteDatabase create(const std::filesystem::path& path);

  /// Runs statements that return nothing. Throws CheckpointError, as the functions of
  /// SqliteStatement do, with SQLite's message.
  void run(const std::string& statements);
  sqlite3* handle() const { return handle_.get(); }
  const std::filesystem::path& path() const { return path_; }
  [[noreturn]] void fail(const char* what) const;

 private:
  struct Closer {
    void operator()(sqlite3* handle) const noexcept;
  };
  SqliteDatabase(const std::filesystem::path& path, int flags, const char* what);

  std::filesystem::path path_;
  const char* what_;
  std::unique_ptr<sqlite3, Closer> handle_;
};

/// A statement with parameters, which are set in their order, again for each row that is written.
class SqliteStatement {
 public:
  SqliteStatement(const SqliteDatabase& database, std::string_view text);

  SqliteStatement& set(int64_t value);
  SqliteStatement& set(double value);
  SqliteStatement& set(std::string_view value);
  SqliteStatement& set_null();
  /// Writes a row with the parameters that were set.
  void write();

  /// Goes on to the next row of the result; false at its end.
  bool next();
  bool is_null(int column) const;
  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;

 private:
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  void check(int status) const;

  const SqliteDatabase& database_;
  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  int next_parameter_ = 1;
};

}  // namespace levin
