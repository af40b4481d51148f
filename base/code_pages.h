// The program's code in memory.
#pragma once

namespace wheelpit {

// Takes the code and constants of the program and its shared libraries off this process' resident set; what is used is mapped again
// at its next use, without reading the disk while the system's page cache has it. For once after the start: dynamic linking, static
// initialisers, descriptors and configuration touch most of the libraries' pages, and serving touches few of them again. Any thread,
// while others run. Writable segments, relocated ones too, are left alone.
void ReleaseCodePages();

}  // namespace wheelpit
