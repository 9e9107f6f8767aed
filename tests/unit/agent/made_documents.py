"""Documents for tests: PDF written by hand, Word documents by python-docx."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence


def pdf(pages: Sequence[str], *, page_stream: bytes | None = None) -> bytes:
    """A PDF with a page of text each; `page_stream` is the compressed content of all pages."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in enumerate(pages):
        content = page_stream if page_stream is not None else _content(text)
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R"
            b" >> >> /Contents %d 0 R >>" % (5 + 2 * number),
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream"
            % (len(content), content),
        ]
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for index, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (index, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for place in places:
        out.write(b"%010d 00000 n \n" % place)
    out.write(
        b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    )
    return out.getvalue()


def _content(text: str) -> bytes:
    lines = []
    for line in text.split("\n"):
        shown = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        lines.append(f"({shown}) Tj T*")
    body = "BT /F1 12 Tf 14 TL 72 770 Td " + " ".join(lines) + " ET"
    return zlib.compress(body.encode("cp1252"))


def encrypted_pdf(pages: Sequence[str], *, user_password: str) -> bytes:
    """The same, protected by RC4, which needs no further package."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(pages))))
    writer.encrypt(user_password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx() -> bytes:
    """A Word document with a title, headings, a table with merged and nested cells."""
    from docx import Document

    document = Document()
    document.add_heading("Tern Bay harbour", 0)
    document.add_paragraph("The harbour has two piers.")
    document.add_heading("Fees", 1)
    table = document.add_table(3, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "berth", "14 crowns"
    table.cell(1, 0).merge(table.cell(1, 1)).text = "Fishing boats pay nothing."
    inner = table.cell(2, 1).add_table(1, 1)
    inner.cell(0, 0).text = "showers"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
