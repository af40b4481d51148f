// A folder that vanishes with the test.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace wheelpit {

class TempFolder {
 public:
  TempFolder() {
    const char* base = ::getenv("TEST_TMPDIR");
    std::string pattern = std::string(base == nullptr ? "/tmp" : base) + "/wheelpit-test-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace wheelpit
