// absl::Now() in a comment is fine, and so is "throw" in a string.
void F() { auto t = absl::Now(); }
void G() { throw 1; }
void H() { std::thread t; }
void I() { absl::SleepFor(d); }
const char* kText = "throw";
