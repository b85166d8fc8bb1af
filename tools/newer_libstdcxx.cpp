// What the backend takes from a libstdc++ newer than manylinux_2_28's (GCC 8), so that a binary brings it along.
#include <sstream>

// C++20, GCC 11: without it, `std::ostringstream::str()` in torch's headers asks for GLIBCXX_3.4.29.
template std::string std::basic_stringbuf<char>::str() const&;
