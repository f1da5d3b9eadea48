"""From text or JSON to an admitted question: parse, bind to the catalogue, list the uses, admit."""
