"""One bsread message: headers, frame layout, types, compression."""
